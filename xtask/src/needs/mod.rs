//! What the tasks need of the machine, whether it is there, and how to get it.
//!
//! Without `--setup` nothing on the machine changes: what is missing is listed, each with the
//! command that would mend it, and the task fails. With it those commands are run.

mod kernel;
mod package;
mod toolchain;
mod user;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::identity::TEST_USER;
use xtask::process;

/// Installing packages over a slow line.
const MEND_LIMIT: Duration = Duration::from_secs(900);

/// A task that needs things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// `cargo xtask demo`.
    Demo,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench`.
    Bench,
    /// The peers of `cargo xtask bench`, which measures those that are there.
    Peers,
    /// `cargo xtask record`.
    Record,
}

/// Something that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What, and what it is for.
    what: String,
    /// The commands that mend it, one argument list each; none when only its owner can.
    mend: Vec<Vec<String>>,
    /// What to do where no command mends it.
    advice: &'static str,
}

impl Missing {
    fn mended_by(what: String, commands: &[&[&str]]) -> Self {
        let mend = commands
            .iter()
            .map(|command| command.iter().map(|&word| word.to_owned()).collect())
            .collect();
        Self {
            what,
            mend,
            advice: "",
        }
    }

    fn advised(what: String, advice: &'static str) -> Self {
        Self {
            what,
            mend: Vec::new(),
            advice,
        }
    }
}

/// Sees to everything that `task` needs, as `user` when it acts as another user.
pub fn see_to(task: For, user: Option<&str>, setup: bool) -> Result<()> {
    if setup {
        // Two rounds: what installed packages bring decides what is still to do.
        for _ in 0..2 {
            for missing in find(task, user)? {
                mend(&missing)?;
            }
        }
    }
    let missing = find(task, user)?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("This machine lacks:");
    for one in &missing {
        eprintln!("  {}", one.what);
        for command in &one.mend {
            eprintln!("      {}", command.join(" "));
        }
        if !one.advice.is_empty() {
            eprintln!("      {}", one.advice);
        }
    }
    if setup {
        bail!(
            "the setup could not mend {} of the things above",
            missing.len()
        );
    }
    bail!("nothing was changed; run these commands as root, or this task with --setup")
}

fn find(task: For, user: Option<&str>) -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    missing.extend(package::missing(task));
    missing.extend(toolchain::missing());
    if task == For::Test {
        missing.extend(user::missing(TEST_USER)?);
    }
    if let Some(user) = user {
        missing.extend(user::missing(user)?);
    }
    missing.extend(kernel::missing());
    Ok(missing)
}

fn mend(missing: &Missing) -> Result<()> {
    for words in &missing.mend {
        let [program, arguments @ ..] = words.as_slice() else {
            continue;
        };
        eprintln!("+ {}", words.join(" "));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        // Debian's packages start no services while this says that the machine is not up.
        command.env("RUNLEVEL", "1");
        process::run(&mut command, MEND_LIMIT)
            .with_context(|| format!("mend: {}", missing.what))?;
    }
    Ok(())
}
