//! Who a command acts as: the current user, or, for root, any other user of the machine.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::program;

/// The unprivileged user that `--setup` creates for the tests.
pub const TEST_USER: &str = "kiln-test";

/// Variables that pass from this process to commands, whoever they act as: how to reach the network.
const PASSED_ON: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "RUST_BACKTRACE",
];

/// One user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group id.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
}

impl Identity {
    /// The user this process runs as.
    pub fn current() -> Result<Self> {
        let uid = rustix::process::getuid().as_raw();
        find(&uid.to_string())?
            .with_context(|| format!("user id {uid} has no entry in the user database"))
    }

    /// The user called `name`; acting as another one than oneself takes root.
    pub fn named(name: &str) -> Result<Self> {
        let identity =
            find(name)?.with_context(|| format!("there is no user `{name}` on this machine"))?;
        let own = rustix::process::getuid().as_raw();
        if own != 0 && identity.uid != own {
            bail!("only root can act as user `{name}`");
        }
        Ok(identity)
    }

    /// Whether this is root.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// A command run by this user, from `/` and with an environment made anew.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().current_dir("/");
        command.env("PATH", program::SYSTEM_PATH);
        command
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env("LOGNAME", &self.name);
        command.env("LC_ALL", "C.UTF-8");
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.uid != rustix::process::getuid().as_raw() {
            // Root that takes another user id this way drops its supplementary groups too.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives `path` to this user.
    pub fn take(&self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("give {} to user {}", path.display(), self.name))
    }
}

/// Looks a user up by name or number, wherever the machine keeps its users.
fn find(key: &str) -> Result<Option<Identity>> {
    let output = Command::new("getent")
        .args(["passwd", "--", key])
        .output()
        .context("run getent")?;
    let line = String::from_utf8(output.stdout).context("getent prints text")?;
    Ok(line.lines().next().and_then(parse))
}

fn parse(line: &str) -> Option<Identity> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = PathBuf::from(fields.nth(1)?);
    Some(Identity {
        name,
        uid,
        gid,
        home,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_entry_of_the_user_database() {
        let expected = Identity {
            name: "ada".into(),
            uid: 1001,
            gid: 1002,
            home: PathBuf::from("/home/ada"),
        };
        assert_eq!(
            parse("ada:x:1001:1002:Ada,,,:/home/ada:/bin/sh"),
            Some(expected)
        );
        assert_eq!(parse("ada:x:one:1002::/home/ada:/bin/sh"), None);
    }
}
