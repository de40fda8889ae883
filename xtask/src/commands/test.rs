//! `cargo xtask test`: every check there is, with totals.

mod binaries;
mod tally;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use xtask::identity::{Identity, TEST_USER};
use xtask::process;
use xtask::scratch::Scratch;

use crate::commands::dist;
use crate::needs::{self, For};
use crate::workspace;
use tally::Tally;

/// Two slow cores that compile everything first.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// What all temporary files of the tests take, with reserve.
const ROOM: u64 = 2 << 30;

/// Options of the tests.
#[derive(Debug, Args)]
pub struct Options {
    /// Install what the machine lacks first
    #[arg(long)]
    setup: bool,
    /// Leave out the release binary
    #[arg(long)]
    no_dist: bool,
    /// Only tests whose name contains this, and neither format nor lints
    #[arg(value_name = "NAME")]
    filter: Option<String>,
}

/// Runs the checks.
pub fn run(options: &Options) -> Result<()> {
    needs::see_to(For::Test, None, options.setup)?;
    let mut tally = Tally::default();
    if options.filter.is_none() {
        check(&mut tally, "format", &["fmt", "--all", "--check"]);
        let lints = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ];
        check(&mut tally, "lints", &lints);
    }
    tests(&mut tally, options.filter.as_deref())?;
    if options.filter.is_none() && !options.no_dist {
        part(&mut tally, "static release", || dist::run().map(|_| ()));
    }
    println!("{tally}");
    if tally.failed() > 0 {
        bail!("{}", tally.failures().join(", "));
    }
    Ok(())
}

fn check(tally: &mut Tally, name: &str, arguments: &[&str]) {
    part(tally, name, || {
        process::stream(workspace::cargo().args(arguments), LIMIT)
    });
}

fn part(tally: &mut Tally, name: &str, work: impl FnOnce() -> Result<()>) {
    let started = Instant::now();
    let done = work();
    match &done {
        Ok(()) => println!("{name}: passed in {:.1} s", started.elapsed().as_secs_f64()),
        Err(error) => println!("{name}: FAILED: {error:#}"),
    }
    tally.count(name, done.is_ok());
}

/// The tests of the harness: all as the current user, then, for root, those of the libraries that
/// make and run trees once more as the test user.
fn tests(tally: &mut Tally, filter: Option<&str>) -> Result<()> {
    let current = Identity::current()?;
    let scratch = Scratch::new("kiln-tests", &current, ROOM, &workspace::cache())?;
    let mut command: Command = workspace::cargo();
    command.args([
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
        "--",
        "--show-output",
    ]);
    command
        .args(filter)
        .env("TMPDIR", scratch.directory("own")?);
    harness(tally, "tests", &mut command)?;
    if current.is_root() {
        as_test_user(tally, filter, &scratch)?;
    }
    let left = scratch.processes();
    if !left.is_empty() {
        tally.count(
            &format!("processes that the tests leave behind ({left:?})"),
            false,
        );
    }
    Ok(())
}

fn as_test_user(tally: &mut Tally, filter: Option<&str>, scratch: &Scratch) -> Result<()> {
    let user = Identity::named(TEST_USER)?;
    let temporary = scratch.directory("user")?;
    user.take(&temporary)?;
    let sources = scratch.directory("sources")?;
    for binary in binaries::of_libraries()? {
        let name = format!("tests of {} as {}", binary.package, user.name);
        let directory = readable_copy(&binary.directory, &sources)?;
        let copy = scratch.path().join(&binary.package);
        std::fs::copy(&binary.path, &copy)
            .with_context(|| format!("copy {}", binary.path.display()))?;
        let mut command = user.command(&copy);
        command
            .arg("--show-output")
            .args(filter)
            .current_dir(&directory);
        command
            .env("TMPDIR", &temporary)
            .env("INSTA_WORKSPACE_ROOT", &sources);
        harness(tally, &name, &mut command)?;
    }
    Ok(())
}

/// The sources of a library where every user can read them, snapshots included: a clone may lie below a closed home.
fn readable_copy(directory: &Path, sources: &Path) -> Result<PathBuf> {
    let name = directory.file_name().context("a package has a directory")?;
    let copy = sources.join(name);
    if !copy.exists() {
        let mut command = Command::new("cp");
        command
            .args(["--recursive", "--"])
            .arg(directory)
            .arg(&copy);
        process::run(&mut command, LIMIT)?;
    }
    Ok(copy)
}

/// Runs a command that prints as the test harness does.
fn harness(tally: &mut Tally, name: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    // Snapshots are compared, never written.
    command
        .env("INSTA_UPDATE", "no")
        .env("CARGO_TERM_COLOR", "never");
    let before = tally.failed();
    let status = process::stream_lines(command, LIMIT, |line| {
        if let Some(text) = tally.line(line) {
            println!("{text}");
        }
    })?;
    tally.end_of_output();
    if !status.success() && tally.failed() == before {
        tally.count(&format!("{name} do not run to their end"), false);
    }
    println!("{name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
