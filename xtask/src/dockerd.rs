//! Debian's Docker engine in mount and network namespaces of its own, with its data in a scratch directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::background::Background;
use crate::{process, program};

/// Where Debian has its programs: the client has to be its package's too.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Time for the engine to answer after its start.
const LIMIT: Duration = Duration::from_secs(60);

/// A running engine; it ends with this value.
#[derive(Debug)]
pub struct Dockerd {
    socket: PathBuf,
    process: Background,
}

impl Dockerd {
    /// Starts an engine that keeps everything in `directory`, its layers with `storage_driver`.
    pub fn start(directory: &Path, storage_driver: &str) -> Result<Self> {
        let program = program::find("dockerd").context("dockerd is not installed")?;
        let socket = directory.join("docker.sock");
        let log = directory.join("log");
        let output =
            std::fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        // Its bridge and its rules of the packet filter stay in a network of its own.
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--net",
            "sh",
            "-c",
            "ip link set lo up && exec \"$@\"",
            "dockerd",
        ]);
        command
            .arg(program)
            .arg("--data-root")
            .arg(directory.join("data"));
        command.arg("--exec-root").arg(directory.join("exec"));
        command.arg("--pidfile").arg(directory.join("pid"));
        command
            .arg("--host")
            .arg(format!("unix://{}", socket.display()));
        command.args(["--storage-driver", storage_driver]);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut engine = Self {
            process: Background::start(&mut command)?,
            socket,
        };
        let deadline = Instant::now() + LIMIT;
        while engine.process.try_wait()?.is_none() && Instant::now() < deadline {
            if process::run(engine.command("docker").arg("version"), LIMIT).is_ok() {
                return Ok(engine);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("dockerd does not start:\n{log}")
    }

    /// A command in the engine's network, whose `docker` speaks to this engine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", self.process.id()))
            .arg("--")
            .arg(program);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        command.env("DOCKER_BUILDKIT", "1").env("PATH", PATH);
        command
    }

    /// The engine's version and its package's, as it says itself.
    pub fn version(&self) -> Result<String> {
        let mut command = self.command("docker");
        let format = "{{.Server.Version}} (API {{.Server.APIVersion}})";
        Ok(
            process::run(command.args(["version", "--format", format]), LIMIT)?
                .stdout
                .trim()
                .to_owned(),
        )
    }
}
