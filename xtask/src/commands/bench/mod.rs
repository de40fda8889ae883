//! `cargo xtask bench`: kiln beside its peers, in one run on one machine.
//!
//! Each row of the table ([`rows`]) is measured by a process of its own, with its own scratch directory and a budget of time: a row
//! that fails or takes too long leaves a message, and the others are measured all the same. Within a row, rounds are interleaved, so
//! that a slow minute hits all alike; medians are compared, as ratios. Stores are on a tmpfs. Peak memory comes from one more run of
//! each, under `time`.

mod cgroups;
mod contest;
mod figures;
mod ground;
mod invocation;
mod machine;
mod peers;
mod results;
mod rows;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use xtask::identity::Identity;
use xtask::process;
use xtask::scratch::Scratch;

use crate::commands::dist;
use crate::needs::{self, For};
use crate::workspace;
use ground::{Effort, Ground};
use results::{Measured, Outcome, Results};
use rows::{ROWS, Row};
pub use rows::{TimeOptions, time};

/// What all the stores of a row take together, with reserve.
const ROOM: u64 = 6 << 30;

/// Where the results go, for people.
const PAGE: &str = "docs/performance.md";

/// Options of the bench.
#[derive(Debug, Args)]
pub struct Options {
    /// Install what the machine lacks first, the peers included
    #[arg(long)]
    setup: bool,
    /// Rounds of long work; short work takes ten times as many
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Use this binary instead of making the release
    #[arg(long, value_name = "FILE")]
    kiln: Option<PathBuf>,
    /// Print the table and leave docs/performance.md alone
    #[arg(long)]
    dry_run: bool,
    /// Only this row; can be given several times
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// A sixteenth of every size, to see that rows work: their figures mean nothing
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// List the rows
    #[arg(long)]
    list: bool,
}

/// Options of the process that measures one row.
#[derive(Debug, Args)]
pub struct RowOptions {
    /// The row
    name: String,
    #[arg(long)]
    kiln: PathBuf,
    #[arg(long)]
    rounds: usize,
    #[arg(long)]
    quick: bool,
    /// A directory for its scratch directory
    #[arg(long)]
    scratch: PathBuf,
    /// Where to write how it ended
    #[arg(long)]
    output: PathBuf,
}

/// Runs the bench.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        for row in ROWS {
            println!("{:10} {}", row.name, row.about);
        }
        return Ok(());
    }
    let chosen = chosen(&options.only)?;
    needs::see_to(For::Bench, None, options.setup)?;
    if options.setup {
        needs::see_to(For::Peers, None, true)?;
    }
    let binary = match &options.kiln {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("find {}", path.display()))?,
        None => dist::run()?,
    };
    let mut results = Results {
        date: jiff::Zoned::now().date().to_string(),
        machine: machine::describe(),
        rows: Vec::new(),
    };
    for row in &chosen {
        let measured = measure(row, &binary, options)?;
        if !options.quick {
            results::write(&results::file(row.name)?, &measured)?;
        }
        results.rows.push(measured);
    }
    println!("{}", table::terminal(&results));
    if !options.quick {
        let file = results::file("results")?;
        results::write(&file, &results)?;
        println!("kept in {}", file.display());
    }
    if !options.dry_run && !options.quick && options.only.is_empty() {
        let path = workspace::root().join(PAGE);
        std::fs::write(&path, table::page(&results))
            .with_context(|| format!("write {}", path.display()))?;
    }
    match results.failed().as_slice() {
        [] => Ok(()),
        failed => bail!("not measured: {}", failed.join(", ")),
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |name: &String| {
        let known = ROWS.iter().map(|row| row.name).collect::<Vec<_>>();
        ROWS.iter()
            .find(|row| row.name == name)
            .with_context(|| format!("no row `{name}`; there are {}", known.join(", ")))
    };
    names.iter().map(find).collect()
}

/// Measures a row in a process of its own, within its budget.
fn measure(row: &Row, binary: &Path, options: &Options) -> Result<Measured> {
    let identity = Identity::current()?;
    let scratch = Scratch::new("kiln-bench", &identity, ROOM, &workspace::cache())?;
    let output = scratch.path().join("outcome.json");
    let rounds = if options.quick { 1 } else { options.rounds };
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["bench-row", row.name, "--rounds", &rounds.to_string()])
        .arg("--kiln")
        .arg(binary)
        .arg("--scratch")
        .arg(scratch.path())
        .arg("--output")
        .arg(&output);
    if options.quick {
        command.arg("--quick");
    }
    eprintln!("{}: {}", row.name, row.about);
    let started = Instant::now();
    let done = process::stream(&mut command, row.budget);
    // Ctrl-C is for all of them.
    xtask::interrupt::check()?;
    let not_measured = |reason: String| Outcome::NotMeasured { reason };
    let written = std::fs::read(&output).context("the row wrote nothing");
    let outcome = match done.and(written) {
        Ok(text) => serde_json::from_slice(&text).context("read the figures")?,
        Err(_) if started.elapsed() >= row.budget => {
            not_measured(format!("took longer than {} s", row.budget.as_secs()))
        }
        Err(error) => not_measured(contest::last_line(&error)),
    };
    Ok(Measured {
        name: row.name.to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        outcome,
    })
}

/// Measures one row and writes how that ended.
pub fn run_row(options: &RowOptions) -> Result<()> {
    let row = chosen(std::slice::from_ref(&options.name))?[0];
    let identity = Identity::current()?;
    // Below the caller's directory, which goes away also when this process is killed.
    let scratch = Scratch::new("row", &identity, u64::MAX, &options.scratch)?;
    let effort = Effort {
        rounds: options.rounds,
        quick: options.quick,
    };
    let ground = Ground::new(&options.kiln, scratch, effort)?;
    let outcome = match (row.measure)(&ground) {
        Ok(lines) => Outcome::Measured { lines },
        Err(error) => {
            eprintln!("{error:#}");
            let reason = contest::last_line(&error);
            Outcome::NotMeasured { reason }
        }
    };
    results::write(&options.output, &outcome)
}
