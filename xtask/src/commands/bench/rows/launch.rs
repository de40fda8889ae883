//! The launch of one process beside runtimes with a prepared bundle: namespaces, mounts, masks, a filter, an own network.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::super::contest::last_line;
use super::super::figures::{Figure, Line, Role, Target, Unit};
use super::super::ground::{Ground, kiln};
use super::super::invocation::Invocation;
use super::super::peers::{bundle, run_bundle, write_bundle};
use super::{Row, minutes};
use crate::workspace;

/// Launches of each contender in one round, and rounds for each of the effort's.
const LAUNCHES: usize = 20;
const ROUNDS: usize = 2;

/// Of crun's time in the same run.
const SHARE: f64 = 0.25;

/// The row.
pub const ROW: Row = Row {
    name: "launch",
    about: "launch of a step: namespaces, overlay, mounts, masks, filter, exec, wait",
    budget: minutes(5),
    measure,
};

/// Options of the timer: `cargo xtask time COUNT COMMAND...`.
#[derive(Debug, Args)]
pub struct TimeOptions {
    /// How often
    count: usize,
    /// Program and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs a command again and again and prints the microseconds that each took, as a JSON list. Runs inside a namespace, so that
/// entering it is not in the time.
pub fn time(options: &TimeOptions) -> Result<()> {
    let (program, arguments) = options.command.split_first().context("no command")?;
    let mut times = Vec::with_capacity(options.count);
    for _ in 0..options.count {
        let began = Instant::now();
        let status = Command::new(program).args(arguments).status()?;
        times.push(began.elapsed().as_micros());
        ensure!(status.success(), "`{program}` failed: {status}");
    }
    println!("{}", json!(times));
    Ok(())
}

/// A contender and its times in microseconds.
struct Contender {
    name: &'static str,
    role: Role,
    invocation: Invocation,
    times: Vec<u64>,
}

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let count = LAUNCHES.to_string();
    let words = ["debug", "launch-bench", "--network", "none", "-n"];
    let own: Vec<&str> = words.into_iter().chain([&*count, &base.image]).collect();
    let mut contenders = vec![Contender {
        name: "kiln",
        role: Role::Kiln,
        invocation: kiln(ground.kiln(), &own),
        times: Vec::new(),
    }];
    let rootfs = base.rootfs()?;
    let mut notes = Vec::new();
    for runtime in ["crun", "runc"] {
        match prepared(runtime, ground, &rootfs, &count) {
            Ok(invocation) => contenders.push(Contender {
                name: runtime,
                role: Role::Peer,
                invocation,
                times: Vec::new(),
            }),
            Err(error) => notes.push(format!("{runtime}: {}", last_line(&error))),
        }
    }
    for _ in 0..ROUNDS * ground.effort().rounds {
        for contender in &mut contenders {
            match contender.invocation.output() {
                Ok(text) => contender.times.extend(times(&text)?),
                Err(error) if contender.role == Role::Kiln => return Err(error),
                Err(error) => notes.push(format!("{}: {}", contender.name, last_line(&error))),
            }
        }
    }
    notes.sort();
    notes.dedup();
    contenders.retain(|contender| !contender.times.is_empty());
    Ok(vec![Line {
        title: "launch of a step, request to end of `/bin/true`, same isolation".to_owned(),
        unit: Unit::Milliseconds,
        figures: contenders.iter().map(figure).collect(),
        target: Target::OfPeer(SHARE),
        notes,
    }])
}

fn figure(contender: &Contender) -> Figure {
    // Times are far below the precision of f64.
    let times = contender.times.iter().map(|time| *time as f64 / 1e3);
    Figure::of(contender.name, contender.role, times.collect())
}

fn times(text: &str) -> Result<Vec<u64>> {
    let value: Value = serde_json::from_str(text).context("read the times")?;
    let list = value.get("times").unwrap_or(&value).as_array();
    let list = list.context("the times are no list")?;
    Ok(list.iter().filter_map(Value::as_u64).collect())
}

/// `cargo xtask time` with a runtime whose bundle has kiln's isolation.
fn prepared(runtime: &str, ground: &Ground, rootfs: &Path, count: &str) -> Result<Invocation> {
    let (directory, mut value) = bundle(runtime, ground, rootfs)?;
    // A root without CAP_SYS_RESOURCE may not raise any.
    value["process"]["rlimits"] = json!([]);
    value["linux"]["resources"] = json!({});
    value["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": refused()?, "action": "SCMP_ACT_ERRNO"}],
    });
    write_bundle(&directory, &value)?;
    let timer = std::env::current_exe()?.to_string_lossy().into_owned();
    let words = [timer, "time".to_owned(), count.to_owned()]
        .into_iter()
        .chain(run_bundle(runtime, ground, &directory));
    Ok(ground.namespace()?.inside(ground.identity(), words))
}

/// Calls that a container may not make, as recorded.
fn refused() -> Result<Value> {
    let path = workspace::root().join(Path::new("fixtures/isolation/docker.json"));
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let recorded: Value = serde_json::from_str(&text)?;
    Ok(recorded["probe"]["calls"]["not_permitted"].clone())
}
