//! `kiln debug launch-bench`: how long it takes to start a process, and where the time goes.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context;
use kiln_runtime::{Network, Process, Spec, Stdio};
use serde_json::json;

use crate::cli::LaunchBenchArgs;
use crate::commands::images;
use crate::error::CommandError;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Starts the same process again and again, each time on a fresh layer, and prints the distribution as JSON.
pub fn bench(args: &LaunchBenchArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let image = host
        .store
        .image(&images::require(&host.store, &args.image)?)?;
    let stack = host.store.stack(image.config.diff_ids())?;
    let launcher = host.launcher()?;
    let argv = args.command.iter().map(|word| word.clone().into_bytes());
    let process = Process::new(argv.collect(), vec![b"PATH=/usr/bin:/bin".to_vec()]);
    let mut totals = Vec::new();
    let mut parts: Vec<(&'static str, Vec<Duration>)> = Vec::new();
    for _ in 0..args.count {
        let tree = host.store.new_tree(&stack)?;
        let mut spec = Spec::new(
            stack.lowers().to_vec(),
            tree.fs().to_owned(),
            tree.work().to_owned(),
            process.clone(),
        );
        spec.network = match args.network.as_str() {
            "none" => Network::None,
            _ => Network::Host,
        };
        let measured = launcher.measure(&spec, null_streams()?)?;
        if !measured.exit.success() {
            let message = format!(
                "`{}` ended with {:?}",
                args.command.join(" "),
                measured.exit
            );
            return Err(CommandError::usage(message).code(1));
        }
        totals.push(measured.total);
        for (name, spent) in measured.parts {
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, times)) => times.push(spent),
                None => parts.push((name, vec![spent])),
            }
        }
    }
    let parts: serde_json::Map<_, _> = parts
        .into_iter()
        .map(|(name, times)| (name.to_owned(), json!(microseconds(times, 50))))
        .collect();
    let all: Vec<_> = totals.iter().map(|time| time.as_micros()).collect();
    let value = json!({
        "launches": args.count,
        "microseconds": {
            "min": microseconds(totals.clone(), 0),
            "p25": microseconds(totals.clone(), 25),
            "p50": microseconds(totals.clone(), 50),
            "p95": microseconds(totals, 95),
        },
        "parts": parts,
        "times": all,
    });
    output::data(&format!("{value:#}\n"))?;
    Ok(0)
}

/// The time below which so many of a hundred lie.
fn microseconds(mut times: Vec<Duration>, percent: usize) -> u64 {
    times.sort();
    let index = times.len().saturating_sub(1) * percent / 100;
    times.get(index).map_or(0, |time| {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    })
}

fn null_streams() -> Result<Stdio, CommandError> {
    let null = || -> anyhow::Result<OwnedFd> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .context("opening /dev/null")?;
        Ok(file.into())
    };
    Ok(Stdio::Files {
        stdin: null()?,
        stdout: null()?,
        stderr: null()?,
    })
}
