//! `kiln stats`: what containers use.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kiln_runtime::container::{Container, Containers, Status, Usage};
use serde_json::{Value, json};

use crate::cli::StatsArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Between two looks: the share of a processor is what was used in between.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same for those who want one look only.
const SHORT_INTERVAL: Duration = Duration::from_millis(200);
/// Clears the terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows it again and again, or once.
pub fn run(args: &StatsArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let mut before: BTreeMap<String, Usage> = BTreeMap::new();
    let mut then = Instant::now();
    let interval = if args.no_stream {
        SHORT_INTERVAL
    } else {
        INTERVAL
    };
    for round in 0_u64.. {
        let mut rows = Vec::new();
        let mut now = BTreeMap::new();
        let elapsed = then.elapsed();
        then = Instant::now();
        for container in chosen(&containers, args)? {
            let usage = if container.is_running()? {
                container.usage()?
            } else {
                Usage::default()
            };
            let id = container.id().to_string();
            let share = before.get(&id).map_or(0.0, |old| {
                let used = usage.processor.saturating_sub(old.processor);
                used.as_secs_f64() / elapsed.as_secs_f64() * 100.0
            });
            rows.push(row(args, &container, &usage, share));
            now.insert(id, usage);
        }
        before = now;
        if round > 0 {
            if !args.no_stream && args.format.is_none() {
                output::data(CLEAR)?;
            }
            print(args, &rows)?;
            if args.no_stream {
                break;
            }
        }
        std::thread::sleep(interval);
    }
    Ok(0)
}

fn chosen(containers: &Containers, args: &StatsArgs) -> Result<Vec<Container>, CommandError> {
    if !args.containers.is_empty() {
        let found = args.containers.iter().map(|name| containers.find(name));
        return Ok(found.collect::<Result<_, _>>()?);
    }
    let mut chosen = Vec::new();
    for container in containers.list()? {
        if args.all || container.state()?.status == Status::Running {
            chosen.push(container);
        }
    }
    Ok(chosen)
}

fn row(args: &StatsArgs, container: &Container, usage: &Usage, share: f64) -> Value {
    /// Digits of an ID that are shown.
    const SHORT: usize = 12;
    let id = container.id().as_str();
    let id = if args.no_trunc { id } else { &id[..SHORT] };
    let of_limit = if usage.memory_limit == 0 {
        0.0
    } else {
        usage.memory as f64 / usage.memory_limit as f64 * 100.0
    };
    let pair = |one, two| format!("{} / {}", format::size(one), format::size(two));
    json!({
        "ID": id,
        "Container": id,
        "Name": container.name(),
        "CPUPerc": format!("{share:.2}%"),
        "MemUsage": pair(usage.memory, usage.memory_limit),
        "MemPerc": format!("{of_limit:.2}%"),
        "NetIO": pair(usage.received, usage.sent),
        "BlockIO": pair(usage.read, usage.written),
        "PIDs": usage.threads.to_string(),
    })
}

fn print(args: &StatsArgs, rows: &[Value]) -> Result<u8, CommandError> {
    let columns = [
        ("CONTAINER ID", "ID"),
        ("NAME", "Name"),
        ("CPU %", "CPUPerc"),
        ("MEM USAGE / LIMIT", "MemUsage"),
        ("MEM %", "MemPerc"),
        ("NET I/O", "NetIO"),
        ("BLOCK I/O", "BlockIO"),
        ("PIDS", "PIDs"),
    ];
    super::print_rows(args.format.as_deref(), &columns, rows)
}
