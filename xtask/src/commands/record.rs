//! `cargo xtask record`: what a real Docker engine prints for the command lines of `fixtures/docker`, written beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use xtask::console::{Outcome, Session};
use xtask::dockerd::Dockerd;
use xtask::identity::Identity;
use xtask::scratch::Scratch;
use xtask::{busybox, process};

use crate::needs::{self, For};
use crate::workspace;

/// The engine's driver copies the base image for every container and layer.
const ROOM: u64 = 2 << 30;

/// Removes all that a session leaves behind but the base image.
const CLEAN: &str = "docker rm --force --volumes $(docker ps --all --quiet); docker volume prune --force; docker network prune --force; \
                     docker image rm --force $(docker images --quiet | grep -v $(docker images --quiet base)); docker builder prune --all --force";

/// Options of the recording.
#[derive(Debug, Args)]
pub struct Options {
    /// Install what the machine lacks first
    #[arg(long)]
    setup: bool,
    /// Only sessions whose name contains this
    #[arg(value_name = "NAME")]
    filter: Option<String>,
}

/// Records the sessions.
pub fn run(options: &Options) -> Result<()> {
    needs::see_to(For::Record, None, options.setup)?;
    let identity = Identity::current()?;
    ensure!(identity.is_root(), "the Docker engine needs root");
    let scratch = Scratch::new("kiln-record", &identity, ROOM, &workspace::cache())?;
    let engine = Dockerd::start(&scratch.directory("engine")?, "vfs")?;
    let base = scratch.directory("base")?;
    busybox::write(&base)?;
    let mut build = engine.command("docker");
    process::run(build.args(["build", "--tag", "base"]).arg(&base), LIMIT)?;
    let version = engine.version()?;
    if PROBE.contains(options.filter.as_deref().unwrap_or_default()) {
        probe(&engine, &version)?;
    }
    for path in sessions(options.filter.as_deref().unwrap_or_default())? {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let directory = scratch.directory(&name)?;
        let session = record(&Session::load(&path)?, &engine, &directory)?;
        let heading = format!("# Recorded from Docker {version} by `cargo xtask record`.\n");
        std::fs::write(&path, format!("{heading}{session}"))
            .with_context(|| format!("write {}", path.display()))?;
        println!("{name}: {} lines", session.entries.len());
    }
    Ok(())
}

/// What a process sees in a container of the engine.
const PROBE: &str = "isolation/docker.json";

/// Records what kiln's probe says in a container of the engine.
fn probe(engine: &Dockerd, version: &str) -> Result<()> {
    let mut build = workspace::cargo();
    build.args(["build", "--package", "kiln"]);
    process::stream(&mut build, BUILD_LIMIT)?;
    let mut run = engine.command("docker");
    run.args(xtask::probe::run_arguments(
        &workspace::target().join("debug/kiln"),
    )?);
    run.arg("base").args(xtask::probe::COMMAND);
    let said = process::run(&mut run, LIMIT)?.stdout;
    let found: serde_json::Value = serde_json::from_str(&said).context("read the probe")?;
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let all = serde_json::json!({
        "recorded from": format!("Docker {version} by `cargo xtask record`"),
        "kernel": kernel,
        "probe": found,
    });
    let path = workspace::root().join("fixtures").join(PROBE);
    std::fs::create_dir_all(path.parent().context("a file has a directory")?)?;
    std::fs::write(&path, format!("{all:#}\n"))
        .with_context(|| format!("write {}", path.display()))?;
    println!(
        "{PROBE}: {} kinds of facts",
        found.as_object().map_or(0, |facts| facts.len())
    );
    Ok(())
}

/// The whole workspace on slow cores.
const BUILD_LIMIT: std::time::Duration = std::time::Duration::from_secs(1200);

/// An image, a build or a removal of everything takes no longer.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

fn sessions(filter: &str) -> Result<Vec<PathBuf>> {
    let directory = workspace::root().join("fixtures/docker");
    let mut paths: Vec<_> = std::fs::read_dir(&directory)
        .with_context(|| format!("list {}", directory.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| {
        path.extension().is_some_and(|end| end == "console")
            && path.to_string_lossy().contains(filter)
    });
    paths.sort();
    Ok(paths)
}

fn record(session: &Session, engine: &Dockerd, directory: &Path) -> Result<Session> {
    let mut session = session.clone();
    for entry in &mut session.entries {
        entry
            .remarks
            .retain(|remark| !remark.starts_with("# Recorded from "));
        entry.outcome = Outcome::of(&entry.command, shell(engine, directory))?;
    }
    process::capture(shell(engine, directory).arg("-c").arg(CLEAN), LIMIT)?;
    Ok(session)
}

fn shell(engine: &Dockerd, directory: &Path) -> Command {
    let mut shell = engine.command("sh");
    shell.current_dir(directory).env("LC_ALL", "C.UTF-8");
    shell
}
