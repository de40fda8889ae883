//! `alias docker=kiln`: the sessions of `fixtures/docker`, recorded from a real Docker engine, typed again with kiln in its place; as root and
//! as an ordinary user. Where kiln differs, the session says why.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise and says what it skips"
)]

#[path = "../harness/mod.rs"]
mod harness;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use xtask::console::{Outcome, Session};
use xtask::identity::{Identity, TEST_USER};
use xtask::interrupt;
use xtask::program::{self, SYSTEM_PATH};

/// What one session's binary, store and files take at most.
const ROOM: u64 = 1 << 30;

/// A session and whether root types it.
type Test = (&'static Path, bool);

fn main() -> ExitCode {
    interrupt::install();
    let Some(tests) = harness::selected(&tests()) else {
        return ExitCode::SUCCESS;
    };
    if program::find("curl").is_none() {
        return harness::skip("curl");
    }
    harness::run(&tests, |(path, as_root)| match identity(as_root) {
        Some(identity) => play(path, &identity),
        None if as_root => println!("skipped: needs root"),
        None => println!("skipped: needs the user {TEST_USER}, and root to act as it"),
    })
}

/// Every session, once for root and once for the ordinary user.
fn tests() -> Vec<(&'static str, Test)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/docker");
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "console"));
    paths.sort();
    assert!(!paths.is_empty(), "there are no sessions");
    let mut tests = Vec::new();
    for (user, as_root) in [("as_root", true), ("as_user", false)] {
        for path in &paths {
            let name: &'static str =
                format!("{user}::{}", path.file_stem().unwrap().display()).leak();
            let path: &'static Path = path.clone().leak();
            tests.push((name, (path, as_root)));
        }
    }
    tests
}

fn identity(as_root: bool) -> Option<Identity> {
    let current = Identity::current().ok()?;
    match (as_root, current.is_root()) {
        (true, true) | (false, false) => Some(current),
        (false, true) => Identity::named(TEST_USER).ok(),
        (true, false) => None,
    }
}

/// Types every line of a session, and fails with all that came out otherwise.
fn play(path: &Path, identity: &Identity) {
    let session = Session::load(path).unwrap();
    if let Some(needs) = session
        .needs()
        .filter(|needs| needs.starts_with("root") && !identity.is_root())
    {
        println!("skipped: needs {needs}");
        return;
    }
    let stage = Stage::new(identity);
    let mut wrong = Vec::new();
    for entry in &session.entries {
        let difference = entry.difference.as_ref();
        let applies = |reason: &str| match identity.is_root() {
            true => !reason.starts_with("As an ordinary user"),
            false => !reason.starts_with("As root"),
        };
        let difference = difference.filter(|(reason, _)| applies(reason));
        let expected = difference.map_or(&entry.outcome, |(_, outcome)| outcome);
        let outcome = Outcome::of(&entry.command, stage.shell()).unwrap();
        if outcome != *expected {
            wrong.push(format!(
                "$ {}\n--- expected\n{expected}--- but\n{outcome}",
                entry.command
            ));
        }
    }
    let (count, of) = (wrong.len(), session.entries.len());
    assert!(
        wrong.is_empty(),
        "{count} of {of} lines differ\n\n{}",
        wrong.join("\n")
    );
}

/// A directory, a store with the image `base`, and a `docker` that is kiln.
struct Stage {
    programs: PathBuf,
    directory: PathBuf,
    ground: xtask::stage::Stage,
}

impl Stage {
    fn new(identity: &Identity) -> Self {
        let fallback = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let built = env!("CARGO_BIN_EXE_kiln");
        let ground = xtask::stage::Stage::new("kiln-alias", identity, ROOM, fallback, built);
        let ground = ground.unwrap();
        let (kiln, scratch) = (ground.kiln(), ground.scratch());
        let programs = scratch.directory("programs").unwrap();
        let script = format!(
            "#!/bin/sh\nexec {} --root {} \"$@\"\n",
            kiln.program().display(),
            kiln.root().display()
        );
        std::fs::write(programs.join("docker"), script).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(programs.join("docker"), executable).unwrap();
        ground.busybox("base").unwrap();
        let directory = scratch.directory("work").unwrap();
        Self {
            programs,
            directory,
            ground,
        }
    }

    fn shell(&self) -> Command {
        let mut shell = self.ground.identity().command("sh");
        shell.env("PATH", format!("{}:{SYSTEM_PATH}", self.programs.display()));
        shell.current_dir(&self.directory);
        shell
    }
}
