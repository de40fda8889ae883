//! `cargo xtask soak`: what takes too long for every day. Stores, builds and containers at many more moments and in greater number,
//! data that is changed at random for minutes.
//!
//! The [`parts`] are independent: one that fails or takes too long leaves the others. What each said is kept in
//! `target/soak/results.json`, with the seeds that bring it back.

mod parts;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Serialize;
use xtask::process;
use xtask::random::SEED_VARIABLE;

use crate::needs::{self, For};
use crate::workspace;
use parts::{PARTS, Part};

/// Options of the soak.
#[derive(Debug, Args)]
pub struct Options {
    /// Install what the machine lacks first
    #[arg(long)]
    setup: bool,
    /// Only this part; can be given several times
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Leave this part out; can be given several times
    #[arg(long, value_name = "PART")]
    except: Vec<String>,
    /// How much the chosen parts do: kills, moments, seconds, whatever each counts
    #[arg(long, value_name = "NUMBER")]
    amount: Option<u64>,
    /// Repeat the chosen parts with this seed
    #[arg(long)]
    seed: Option<u64>,
    /// List the parts
    #[arg(long)]
    list: bool,
}

/// How a part went.
#[derive(Debug, Serialize)]
struct Soaked {
    name: &'static str,
    passed: bool,
    seconds: f64,
    /// Each brings back what one test did.
    seeds: Vec<String>,
    /// What was done.
    counted: Vec<String>,
    /// What stood in the way.
    reason: Option<String>,
}

/// Runs the soak.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        for part in PARTS {
            let usual = part.amount.map(|(_, amount)| format!(" ({amount})"));
            println!(
                "{:14} {}{}",
                part.name,
                part.about,
                usual.unwrap_or_default()
            );
        }
        return Ok(());
    }
    let chosen = chosen(options)?;
    needs::see_to(For::Test, None, options.setup)?;
    let mut results = Vec::new();
    for part in chosen {
        println!("{}: {}", part.name, part.about);
        let soaked = soak(part, options);
        // Ctrl-C is for all of them.
        xtask::interrupt::check()?;
        results.push(soaked);
    }
    print(&results);
    keep(&results)?;
    let failed: Vec<_> = results.iter().filter(|part| !part.passed).collect();
    let names: Vec<_> = failed.iter().map(|part| part.name).collect();
    ensure!(names.is_empty(), "failed: {}", names.join(", "));
    Ok(())
}

fn chosen(options: &Options) -> Result<Vec<&'static Part>> {
    for name in options.only.iter().chain(&options.except) {
        if !PARTS.iter().any(|part| part.name == name) {
            let known: Vec<_> = PARTS.iter().map(|part| part.name).collect();
            bail!("no part `{name}`; there are {}", known.join(", "));
        }
    }
    let is = |names: &[String], part: &Part| names.iter().any(|name| name == part.name);
    let wanted = |part: &&Part| {
        (options.only.is_empty() || is(&options.only, part)) && !is(&options.except, part)
    };
    Ok(PARTS.iter().filter(wanted).collect())
}

/// Runs one part to its end.
fn soak(part: &Part, options: &Options) -> Soaked {
    let mut command = part.command(options.amount);
    if let Some(seed) = options.seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    let (mut seeds, mut counted) = (Vec::new(), Vec::new());
    let mut ran = 0_u64;
    let started = Instant::now();
    let ended = process::stream_lines(&mut command, part.budget, |line| {
        println!("{line}");
        // Without a line of its own when tests print at the same time.
        if let Some((_, seed)) = line.split_once("seed ") {
            seeds.push(seed.to_owned());
        } else if let Some((_, what)) = line.split_once("counted ") {
            counted.push(what.to_owned());
        } else if let Some(rest) = line.strip_prefix("test result: ok. ") {
            let number = rest.split(' ').next().and_then(|text| text.parse().ok());
            ran += number.unwrap_or(0);
        }
    });
    let reason = match ended {
        Ok(status) if !status.success() => Some(format!("a test failed ({status})")),
        Ok(_) if ran == 0 => Some("no test was run".to_owned()),
        Ok(_) => None,
        Err(error) => Some(format!("{error:#}")),
    };
    Soaked {
        name: part.name,
        passed: reason.is_none(),
        seconds: started.elapsed().as_secs_f64(),
        seeds,
        counted,
        reason,
    }
}

fn print(results: &[Soaked]) {
    println!();
    for part in results {
        let verdict = if part.passed { "passed" } else { "FAILED" };
        let mut said = part.counted.clone();
        said.extend(part.seeds.iter().map(|seed| format!("seed {seed}")));
        said.extend(part.reason.clone());
        println!(
            "{:14} {verdict} in {:.0} s: {}",
            part.name,
            part.seconds,
            said.join(", ")
        );
    }
}

fn keep(results: &[Soaked]) -> Result<()> {
    let directory = workspace::target().join("soak");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("create {}", directory.display()))?;
    let file = directory.join("results.json");
    let text = serde_json::to_string_pretty(results).context("write JSON")?;
    std::fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))?;
    println!("kept in {}", file.display());
    Ok(())
}
