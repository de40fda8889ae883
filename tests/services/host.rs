//! A store with Debian in it, and services that run from it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use xtask::docker_registry::free_address;
use xtask::identity::Identity;
use xtask::process::{self, Finished};
use xtask::program;
use xtask::stage::Stage;

/// What the largest image takes with what it is built from, with reserve.
const ROOM: u64 = 4 << 30;

/// How long a service may take from its start to its first answer, on a slow machine.
const READY: Duration = Duration::from_secs(90);

/// How long a client may take for one answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The clients that the services are used with, and what makes the base image.
const PROGRAMS: &[&str] = &["curl", "psql", "mariadb", "redis-cli", "mmdebstrap"];

/// The first program that is not on this machine.
pub fn lacking() -> Option<&'static str> {
    PROGRAMS
        .iter()
        .copied()
        .find(|name| program::find(name).is_none())
}

/// One user's kiln, with the image `debian` in its store.
pub struct Host {
    stage: Stage,
}

impl Host {
    /// Makes the base image.
    pub fn new(identity: &Identity) -> Self {
        let fallback = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let built = env!("CARGO_BIN_EXE_kiln");
        let stage = Stage::new("kiln-services", identity, ROOM, fallback, built).unwrap();
        stage.debian("debian", fallback).unwrap();
        Self { stage }
    }

    /// A directory that ends with this value.
    pub fn scratch(&self) -> &Path {
        self.stage.scratch().path()
    }

    /// Runs a command of kiln's that has to succeed; returns its output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.stage.kiln().run(arguments).unwrap().stdout
    }

    /// Runs a command of kiln's that may fail.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.stage.kiln().capture(arguments).unwrap()
    }

    /// Builds `fixtures/applications/NAME` under that name.
    pub fn build(&self, name: &str) -> Image<'_> {
        let context = self.stage.scratch().path().join(name);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/applications")
            .join(name);
        let mut copy = Command::new("cp");
        process::run(copy.arg("-R").arg(fixture).arg(&context), LIMIT).unwrap();
        let mut own = Command::new("chown");
        own.arg("-R")
            .arg(format!(
                "{}:{}",
                self.stage.identity().uid,
                self.stage.identity().gid
            ))
            .arg(&context);
        process::run(&mut own, LIMIT).unwrap();
        self.ok(&[
            "build",
            "--build-arg",
            "BASE=debian",
            "--tag",
            name,
            context.to_str().unwrap(),
        ]);
        Image {
            host: self,
            name: name.to_owned(),
        }
    }

    /// Starts a detached container with `inner` published on a free port of loopback.
    pub fn serve(&self, name: &str, inner: u16, arguments: &[&str], image: &str) -> SocketAddr {
        let address = free_address().unwrap();
        let port = format!("{address}:{inner}");
        let mut all = vec!["run", "-d", "--name", name, "-p", &port];
        all.extend(arguments);
        all.push(image);
        self.ok(&all);
        address
    }

    /// Asks until `client` succeeds; returns its output.
    pub fn ask_until_ready(&self, container: &str, client: impl Fn() -> Command) -> String {
        let deadline = Instant::now() + READY;
        loop {
            let finished = process::capture(&mut client(), LIMIT).unwrap();
            if finished.status.success() {
                return finished.stdout;
            }
            assert!(
                Instant::now() < deadline,
                "{container} does not answer: {}\n{:?}",
                finished.stderr,
                self.run(&["logs", container])
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// An image that goes, with its layers, when its test is over.
pub struct Image<'a> {
    host: &'a Host,
    /// Its name.
    pub name: String,
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // A failed test has left containers of the image.
        let _ = self.host.stage.kiln().remove_containers();
        let removed = self.host.run(&["rmi", "--force", &self.name]);
        if !removed.status.success() {
            println!("cannot remove the image {}: {}", self.name, removed.stderr);
        }
        // What it was built from would fill the tmpfs.
        let _ = self.host.run(&["prune", "--force"]);
    }
}

/// Asks a client once; it has to succeed.
pub fn ask(mut client: Command) -> String {
    process::run(&mut client, LIMIT).unwrap().stdout
}

/// A request of curl's, which fails on an answer that is an error.
pub fn curl(address: SocketAddr, path: &str) -> Command {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail",
        "--noproxy",
        "*",
        "--max-time",
        "10",
    ]);
    command.arg(format!("http://{address}{path}"));
    command
}
