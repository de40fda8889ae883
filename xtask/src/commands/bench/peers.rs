//! The peers' command lines.
//!
//! Machines without CAP_SYS_RESOURCE and with hybrid cgroups keep crun and buildah from working as they are; they are given a mount
//! namespace with cgroup v2 alone and told to leave cgroups and limits be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask::docker_registry::DockerRegistry;
use xtask::dockerd::Dockerd;
use xtask::{process, program};

use super::ground::{Base, Ground};
use super::invocation::Invocation;

const LIMIT: Duration = Duration::from_secs(60);

/// Limits that a root without CAP_SYS_RESOURCE may set.
const CONTAINERS_CONF: &str =
    "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=1024:1024\"]\n";

fn installed(name: &str) -> Result<()> {
    ensure!(
        program::find(name).is_some(),
        "not installed (`cargo xtask bench --setup` installs it)"
    );
    Ok(())
}

/// buildah with a store of its own.
#[derive(Debug)]
pub struct Buildah<'a> {
    ground: &'a Ground,
    directory: PathBuf,
}

impl<'a> Buildah<'a> {
    /// Finds it.
    pub fn new(ground: &'a Ground) -> Result<Self> {
        installed("buildah")?;
        ground.namespace()?;
        let directory = ground.scratch().directory("buildah")?;
        std::fs::write(directory.join("containers.conf"), CONTAINERS_CONF)?;
        Ok(Self { ground, directory })
    }

    /// One of its commands.
    pub fn command(&self, words: &[&str]) -> Result<Invocation> {
        let path = |name: &str| self.directory.join(name).to_string_lossy().into_owned();
        let (root, run) = (path("root"), path("run"));
        let own = ["buildah", "--root", &root, "--runroot", &run];
        let all = own
            .into_iter()
            .chain(["--storage-driver", "overlay"])
            .chain(words.iter().copied());
        let invocation = self.ground.namespace()?.inside(self.ground.identity(), all);
        Ok(invocation.with_variable("CONTAINERS_CONF", &path("containers.conf")))
    }

    /// A build with a cache, of the image `tag`.
    pub fn build(&self, tag: &str, arguments: &[&str], context: &Path) -> Result<Invocation> {
        let context = context.to_string_lossy();
        let mut words = vec!["bud", "--layers", "--tls-verify=false", "--runtime-flag"];
        words.extend(["cgroup-manager=disabled", "--tag", tag]);
        words.extend(arguments);
        words.push(&context);
        self.command(&words)
    }

    /// Deletes all its images.
    pub fn delete_all(&self) -> Result<Invocation> {
        self.command(&["rmi", "--all", "--force"])
    }
}

/// podman with a store of its own.
#[derive(Debug)]
pub struct Podman<'a> {
    ground: &'a Ground,
    directory: PathBuf,
}

impl<'a> Podman<'a> {
    /// Finds it.
    pub fn new(ground: &'a Ground) -> Result<Self> {
        installed("podman")?;
        ground.namespace()?;
        let directory = ground.scratch().directory("podman")?;
        std::fs::write(directory.join("containers.conf"), CONTAINERS_CONF)?;
        Ok(Self { ground, directory })
    }

    /// One of its commands.
    pub fn command(&self, words: &[&str]) -> Result<Invocation> {
        let path = |name: &str| self.directory.join(name).to_string_lossy().into_owned();
        let (root, run) = (path("root"), path("run"));
        let own = ["podman", "--root", &root, "--runroot", &run];
        let all = own
            .into_iter()
            .chain(["--storage-driver", "overlay"])
            .chain(words.iter().copied());
        let invocation = self.ground.namespace()?.inside(self.ground.identity(), all);
        Ok(invocation.with_variable("CONTAINERS_CONF", &path("containers.conf")))
    }

    /// Deletes all its images.
    pub fn delete_all(&self) -> Result<Invocation> {
        self.command(&["rmi", "--all", "--force"])
    }
}

/// Debian's Docker engine with its embedded BuildKit. It has a network of its own, without the registries of this machine.
#[derive(Debug)]
pub struct Docker<'a> {
    ground: &'a Ground,
    engine: Dockerd,
}

impl<'a> Docker<'a> {
    /// Starts it.
    pub fn start(ground: &'a Ground) -> Result<Self> {
        for program in ["dockerd", "iptables", "ip"] {
            installed(program)?;
        }
        ground.namespace()?;
        let directory = ground.scratch().directory("docker")?;
        let engine = Dockerd::start(&directory, "overlay2")?;
        Ok(Self { ground, engine })
    }

    /// One of its commands.
    pub fn command(&self, words: &[&str]) -> Invocation {
        let command = self.engine.command("docker");
        let text = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
        let own = [text(command.get_program())]
            .into_iter()
            .chain(command.get_args().map(text));
        let all = own.chain(words.iter().map(|word| (*word).to_owned()));
        let mut invocation = Invocation::new(self.ground.identity(), all);
        for (name, value) in command.get_envs() {
            let value = value.map(text).unwrap_or_default();
            invocation.variables.push((text(name), value));
        }
        invocation
    }

    /// A registry in its network that keeps its data in `directory`.
    pub fn registry(&self, directory: &Path) -> Result<DockerRegistry> {
        DockerRegistry::start_inside(&self.engine, directory)
    }

    /// Builds the base image from its files, under the name that kiln's has.
    pub fn load(&self, base: &Base) -> Result<()> {
        let directory = base.directory.to_string_lossy();
        self.command(&["build", "--quiet", "--tag", &base.image, &directory])
            .run()?;
        Ok(())
    }

    /// A build of the image `tag`.
    pub fn build(&self, tag: &str, context: &Path) -> Invocation {
        self.command(&["build", "--tag", tag, &context.to_string_lossy()])
    }

    /// Deletes what was built, not the base image.
    pub fn delete(&self, tag: &str) -> Vec<Invocation> {
        vec![
            self.command(&["image", "rm", "--force", tag]),
            self.command(&["builder", "prune", "--all", "--force"]),
        ]
    }
}

/// skopeo copying between two places.
pub fn skopeo(ground: &Ground, from: &str, to: &str) -> Result<Invocation> {
    installed("skopeo")?;
    let words = [
        "skopeo",
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        from,
        to,
    ];
    Ok(Invocation::new(ground.identity(), words))
}

/// A bundle in the runtime's own default form, which runs `/bin/true`.
pub fn bundle(runtime: &str, ground: &Ground, rootfs: &Path) -> Result<(PathBuf, Value)> {
    installed(runtime)?;
    let directory = ground.scratch().directory(&format!("bundle-{runtime}"))?;
    let mut spec = Command::new(runtime);
    process::run(spec.arg("spec").current_dir(&directory), LIMIT)?;
    let file = directory.join("config.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    value["process"]["args"] = json!(["/bin/true"]);
    value["process"]["terminal"] = false.into();
    value["root"]["path"] = rootfs.to_string_lossy().into();
    write_bundle(&directory, &value)?;
    Ok((directory, value))
}

/// Writes the specification of a bundle.
pub fn write_bundle(directory: &Path, value: &Value) -> Result<()> {
    let file = directory.join("config.json");
    std::fs::write(&file, value.to_string()).with_context(|| format!("write {}", file.display()))
}

/// The words that run a bundle once.
pub fn run_bundle(runtime: &str, ground: &Ground, bundle: &Path) -> Vec<String> {
    let state = ground.scratch().path().join(format!("state-{runtime}"));
    let mut words = vec![
        runtime.to_owned(),
        "--root".to_owned(),
        state.to_string_lossy().into_owned(),
    ];
    if runtime == "crun" {
        words.push("--cgroup-manager=disabled".to_owned());
    }
    words.extend(["run", "--bundle"].map(ToOwned::to_owned));
    words.extend([bundle.to_string_lossy().into_owned(), "bench".to_owned()]);
    words
}
