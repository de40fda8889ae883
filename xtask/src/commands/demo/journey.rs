//! The journey of `fixtures/web`: built, cached, pushed, pulled back, run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use xtask::docker_registry::{DockerRegistry, free_address, get, tree_size};
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::scratch::Scratch;

use super::base;
use super::report::Report;
use crate::workspace;

/// The name of the container.
const CONTAINER: &str = "web";

/// The port that the server listens on inside.
const INNER_PORT: u16 = 8080;

/// What the page's title is built from.
const TITLE: &str = "Baked by kiln";

/// What the context holds after its .dockerignore.
const CONTEXT: &str =
    "./Dockerfile\n./entrypoint.sh\n./nginx.conf\n./notes/kept.txt\n./page.html.in\n";

/// How long the server may take until it answers.
const READY: Duration = Duration::from_secs(20);

/// What a build says of itself in its `--metadata-file`.
#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(rename = "kiln.steps")]
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    name: String,
    cached: bool,
    milliseconds: f64,
    #[serde(default)]
    bytes: u64,
}

/// Takes the whole way.
pub fn travel(
    scratch: &Scratch,
    identity: &Identity,
    kiln: &Kiln,
    registry: &DockerRegistry,
    report: &mut Report,
) -> Result<()> {
    let image = format!("{}/web:1", registry.host());
    let context = copy_context(scratch, identity)?;
    build(&context, &image, kiln, registry, report)?;
    ship(&image, kiln, registry, report)?;
    serve(&image, kiln, report)?;
    check_nothing_left(scratch, kiln, registry)
}

/// The fixture where the user can read it, with the files that .dockerignore keeps out.
fn copy_context(scratch: &Scratch, identity: &Identity) -> Result<PathBuf> {
    let context = scratch.directory("context")?;
    let fixture = workspace::root().join("fixtures/web");
    let mut copy = std::process::Command::new("cp");
    copy.arg("-R").arg(fixture.join(".")).arg(&context);
    xtask::process::run(&mut copy, READY)?;
    std::fs::write(context.join("secret.env"), "PASSWORD=none\n")
        .context("write an ignored file")?;
    let mut own = std::process::Command::new("chown");
    own.arg("-R")
        .arg(format!("{}:{}", identity.uid, identity.gid))
        .arg(&context);
    xtask::process::run(&mut own, READY)?;
    Ok(context)
}

fn build(
    context: &Path,
    image: &str,
    kiln: &Kiln,
    registry: &DockerRegistry,
    report: &mut Report,
) -> Result<()> {
    let base = format!("BASE={}", base::name(registry));
    let title = format!("TITLE={TITLE}");
    let metadata = context.with_file_name("metadata.json");
    let (context, file) = (context.to_string_lossy(), metadata.to_string_lossy());
    let arguments = [
        "build",
        "--build-arg",
        &base,
        "--build-arg",
        &title,
        "--tag",
        image,
        "--metadata-file",
        &file,
        &context,
    ];
    for (what, again) in [("build", false), ("build again", true)] {
        report.time(what, || kiln.run(&arguments))?;
        let steps = read_metadata(&metadata)?.steps;
        let cached = steps.iter().filter(|step| step.cached).count();
        report.remark(format!("{cached} of {} steps cached", steps.len()));
        if again {
            ensure!(
                cached == steps.len(),
                "not every step of the second build was cached: {steps:#?}"
            );
            continue;
        }
        for step in &steps {
            let note = if step.cached { "cached" } else { "" };
            report.part(
                &step.name,
                Duration::from_secs_f64(step.milliseconds / 1e3),
                step.bytes,
                note,
            );
        }
    }
    Ok(())
}

fn read_metadata(path: &Path) -> Result<Metadata> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))
}

fn ship(image: &str, kiln: &Kiln, registry: &DockerRegistry, report: &mut Report) -> Result<()> {
    let before = registry.stored_bytes();
    report.time("push", || kiln.run(&["push", image]))?;
    report.bytes(registry.stored_bytes() - before);
    let size = tree_size(kiln.root());
    report.time("delete the store", || kiln.delete_store())?;
    report.bytes(size);
    ensure!(
        !kiln.root().exists(),
        "{} is still there",
        kiln.root().display()
    );
    report.time("pull", || kiln.run(&["pull", image]))?;
    report.bytes(tree_size(kiln.root()));
    Ok(())
}

fn serve(image: &str, kiln: &Kiln, report: &mut Report) -> Result<()> {
    let address = free_address()?;
    let publish = format!("{address}:{INNER_PORT}");
    report.time("run, detached", || {
        kiln.run(&[
            "run",
            "--detach",
            "--name",
            CONTAINER,
            "--publish",
            &publish,
            image,
        ])
    })?;
    let page = report.time("fetch the page", || fetch(address, "/"))?;
    ensure!(
        page.contains(&format!("<title>{TITLE}</title>")),
        "unexpected page:\n{page}"
    );
    let listing = fetch(address, "/context.txt")?;
    ensure!(
        listing == CONTEXT,
        "the build's context was not as .dockerignore has it:\n{listing}"
    );
    let logs = report.time("read the logs", || kiln.run(&["logs", CONTAINER]))?;
    let lines = logs.stdout + &logs.stderr;
    ensure!(
        lines.contains("GET / HTTP/1.0"),
        "the log does not have the request:\n{lines}"
    );
    let executed = report.time("execute a command", || {
        kiln.run(&[
            "exec",
            CONTAINER,
            "sh",
            "-c",
            "echo kept >> /srv/web/html/note.txt && nginx -v 2>&1",
        ])
    })?;
    ensure!(
        executed.stdout.starts_with("nginx version: "),
        "unexpected output: {}",
        executed.stdout
    );
    restart(address, kiln, report)?;
    report.time("remove", || {
        kiln.run(&["stop", CONTAINER])?;
        kiln.run(&["rm", CONTAINER])
    })?;
    Ok(())
}

/// Stops the container and starts it again: what it had written is still there.
fn restart(address: SocketAddr, kiln: &Kiln, report: &mut Report) -> Result<()> {
    report.time("stop", || kiln.run(&["stop", CONTAINER]))?;
    ensure!(
        get(address, "/").is_err(),
        "the port is still open after the stop"
    );
    let running = kiln.run(&["ps", "--quiet"])?.stdout;
    ensure!(running.is_empty(), "a container still runs: {running}");
    report.time("start again", || kiln.run(&["start", CONTAINER]))?;
    let starts = report.time("fetch its data", || fetch(address, "/starts.txt"))?;
    ensure!(
        starts.lines().count() == 2,
        "the container's data is not as expected:\n{starts}"
    );
    let note = fetch(address, "/note.txt")?;
    ensure!(note == "kept\n", "the note is not as expected: {note}");
    Ok(())
}

/// Fetches a page, waiting for the server to be ready.
fn fetch(address: SocketAddr, path: &str) -> Result<String> {
    let deadline = Instant::now() + READY;
    loop {
        match get(address, path) {
            Ok((200, body)) => return Ok(body),
            Ok((status, body)) if Instant::now() >= deadline => {
                bail!("{path}: status {status}\n{body}")
            }
            Err(error) if Instant::now() >= deadline => return Err(error).context(path.to_owned()),
            _ => {
                xtask::interrupt::check()?;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn check_nothing_left(scratch: &Scratch, kiln: &Kiln, registry: &DockerRegistry) -> Result<()> {
    let containers = kiln.run(&["ps", "--all", "--quiet"])?.stdout;
    ensure!(containers.is_empty(), "a container is left: {containers}");
    let processes: Vec<_> = scratch
        .processes()
        .into_iter()
        .filter(|pid| *pid != registry.process_id())
        .collect();
    ensure!(processes.is_empty(), "processes are left: {processes:?}");
    Ok(())
}
