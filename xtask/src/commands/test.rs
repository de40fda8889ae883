//! `cargo xtask test`: every check there is, with totals.

mod tally;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use xtask::process;

use crate::commands::dist;
use crate::needs::{self, For};
use crate::workspace;
use tally::Tally;

/// Two slow cores that compile everything first.
const LIMIT: Duration = Duration::from_secs(25 * 60);

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

fn tests(tally: &mut Tally, filter: Option<&str>) -> Result<()> {
    let started = Instant::now();
    let mut command: Command = workspace::cargo();
    command.args([
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
        "--",
        "--show-output",
    ]);
    command.args(filter);
    // Snapshots are compared, never written.
    command
        .env("INSTA_UPDATE", "no")
        .env("CARGO_TERM_COLOR", "never");
    let before = tally.failed();
    let status = process::stream_lines(&mut command, LIMIT, |line| {
        if let Some(text) = tally.line(line) {
            println!("{text}");
        }
    })?;
    tally.end_of_output();
    if !status.success() && tally.failed() == before {
        tally.count("the tests do not run to their end", false);
    }
    println!("tests: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
