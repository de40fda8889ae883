//! The launch of one process beside runtimes with a prepared bundle: namespaces, mounts, masks, a filter, an own network.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::scratch::Scratch;
use xtask::{process, program};

use super::contest::Invocation;
use super::peers::{CgroupNamespace, Ground};
use crate::workspace;

const LIMIT: Duration = Duration::from_secs(120);

/// Launches of each contender in one round, and rounds.
const LAUNCHES: usize = 20;
const ROUNDS: usize = 10;

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
    name: String,
    invocation: Invocation,
    times: Vec<u64>,
}

/// Measures all that are installed, in interleaved rounds; returns a section of the page.
pub fn measure(
    ground: &Ground,
    kiln: &Kiln,
    scratch: &Scratch,
    namespace: &CgroupNamespace,
) -> Result<String> {
    let identity = Identity::current()?;
    let count = LAUNCHES.to_string();
    let (program, root) = (
        kiln.program().to_string_lossy(),
        kiln.root().to_string_lossy(),
    );
    let words = ["debug", "launch-bench", "--network", "none", "-n", &count];
    let own = [&*program, "--root", &root]
        .into_iter()
        .chain(words)
        .chain([ground.base()]);
    let mut contenders = vec![Contender {
        name: "kiln".to_owned(),
        invocation: Invocation::new(kiln.identity(), own),
        times: Vec::new(),
    }];
    let timer = std::env::current_exe()?.to_string_lossy().into_owned();
    for runtime in ["crun", "runc"] {
        if program::find(runtime).is_none() {
            continue;
        }
        let directory = bundle(runtime, ground, scratch)?;
        let state = scratch.path().join(format!("state-{runtime}"));
        let (bundle, state) = (directory.to_string_lossy(), state.to_string_lossy());
        let mut words = vec![timer.as_str(), "time", &count, runtime, "--root", &state];
        if runtime == "crun" {
            words.push("--cgroup-manager=disabled");
        }
        words.extend(["run", "--bundle", &bundle, "bench"]);
        contenders.push(Contender {
            name: runtime.to_owned(),
            invocation: namespace.inside(&identity, words),
            times: Vec::new(),
        });
    }
    let mut failed = Vec::new();
    for _ in 0..ROUNDS {
        for contender in &mut contenders {
            match contender.invocation.output(LIMIT) {
                Ok(text) => contender.times.extend(times(&text)?),
                Err(error) if contender.name != "kiln" => failed.push(format!(
                    "{}: {}",
                    contender.name,
                    format!("{error:#}").lines().last().unwrap_or_default()
                )),
                Err(error) => return Err(error),
            }
        }
    }
    failed.sort();
    failed.dedup();
    Ok(section(&mut contenders, &failed))
}

fn times(text: &str) -> Result<Vec<u64>> {
    let value: Value = serde_json::from_str(text).context("read the times")?;
    let list = value.get("times").unwrap_or(&value).as_array();
    let list = list.context("the times are no list")?;
    Ok(list.iter().filter_map(Value::as_u64).collect())
}

fn section(contenders: &mut [Contender], failed: &[String]) -> String {
    let mut text = format!(
        "\n## Launch of a step\n\nFrom the request to the end of `/bin/true`, in microseconds: {ROUNDS} interleaved rounds of {LAUNCHES}. The runtimes have a \
         prepared bundle\nwith the same namespaces, an own network and a filter of the system calls that kiln refuses, and no limits.\n\n\
         | tool | fastest | p25 | median | p95 | times kiln's median |\n|---|---:|---:|---:|---:|---:|\n"
    );
    let mut own = 0;
    for contender in contenders {
        contender.times.sort_unstable();
        let times = &contender.times;
        let at = |percent: usize| {
            let index = times.len().saturating_sub(1) * percent / 100;
            times.get(index).copied().unwrap_or_default()
        };
        if own == 0 {
            own = at(50);
        }
        // Times are far below the precision of f64. Writing to a string cannot fail.
        let ratio = at(50) as f64 / own.max(1) as f64;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {ratio:.2} |",
            contender.name,
            at(0),
            at(25),
            at(50),
            at(95)
        );
    }
    if !failed.is_empty() {
        let _ = writeln!(text, "\nDid not run: {}.", failed.join("; "));
    }
    text
}

/// A bundle in the runtime's own default form, with kiln's isolation.
fn bundle(runtime: &str, ground: &Ground, scratch: &Scratch) -> Result<PathBuf> {
    let directory = scratch.directory(&format!("launch-{runtime}"))?;
    let mut spec = Command::new(runtime);
    process::run(spec.arg("spec").current_dir(&directory), LIMIT)?;
    let file = directory.join("config.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    value["process"]["args"] = json!(["/bin/true"]);
    value["process"]["terminal"] = false.into();
    // A root without CAP_SYS_RESOURCE may not raise any.
    value["process"]["rlimits"] = json!([]);
    value["root"]["path"] = ground.rootfs().to_string_lossy().into();
    value["linux"]["resources"] = json!({});
    value["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": refused()?, "action": "SCMP_ACT_ERRNO"}],
    });
    std::fs::write(&file, value.to_string())?;
    Ok(directory)
}

/// Calls that a container may not make, as recorded.
fn refused() -> Result<Value> {
    let path = workspace::root().join(Path::new("fixtures/isolation/docker.json"));
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let recorded: Value = serde_json::from_str(&text)?;
    Ok(recorded["probe"]["calls"]["not_permitted"].clone())
}
