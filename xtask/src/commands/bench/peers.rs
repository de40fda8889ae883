//! The contenders and their command lines.
//!
//! Machines without CAP_SYS_RESOURCE and with hybrid cgroups keep crun from working as it is; it is
//! given a mount namespace with cgroup v2 alone and told to leave cgroups and limits be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::background::Background;
use xtask::docker_registry::DockerRegistry;
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::process;
use xtask::scratch::Scratch;
use xtask::{busybox, program};

use super::contest::{Contest, Invocation, STEPS, Work};

const LIMIT: Duration = Duration::from_secs(60);

/// Limits that a root without CAP_SYS_RESOURCE may set.
const CONTAINERS_CONF: &str =
    "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=1024:1024\"]\n";

/// What the contenders have in common.
#[derive(Debug)]
pub struct Ground {
    /// The base image in the registry.
    base: String,
    /// The context with the Dockerfile of many steps.
    context: String,
    /// The tree of the base image, for runtimes without images.
    rootfs: PathBuf,
}

impl Ground {
    /// Makes the base image with kiln, pushes it, and writes the Dockerfile.
    pub fn prepare(scratch: &Scratch, kiln: &Kiln, registry: &DockerRegistry) -> Result<Self> {
        let directory = scratch.directory("base")?;
        busybox::write(&directory)?;
        let base = format!("{}/base:1", registry.host());
        kiln.run(&["build", "--tag", &base, &directory.to_string_lossy()])?;
        kiln.run(&["push", &base])?;
        let rootfs = scratch.directory("rootfs")?;
        let mut tar = Command::new("tar");
        tar.arg("xf")
            .arg(directory.join("base.tar"))
            .arg("-C")
            .arg(&rootfs);
        process::run(&mut tar, LIMIT)?;
        let context = scratch.directory("context")?;
        let steps: String = (1..=STEPS)
            .map(|number| format!("RUN true {number}\n"))
            .collect();
        std::fs::write(context.join("Dockerfile"), format!("FROM {base}\n{steps}"))?;
        Ok(Self {
            base,
            context: context.to_string_lossy().into_owned(),
            rootfs,
        })
    }
}

impl Ground {
    /// The base image in the registry.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The tree of the base image.
    pub fn rootfs(&self) -> &Path {
        &self.rootfs
    }
}

/// Adds kiln on one store.
pub fn kiln(contest: &mut Contest, ground: &Ground, kiln: &Kiln, tool: &str) {
    let (program, root) = (
        kiln.program().to_string_lossy(),
        kiln.root().to_string_lossy(),
    );
    let with = |words: &[&str]| {
        let all = [&*program, "--root", &root]
            .into_iter()
            .chain(words.iter().copied());
        Invocation::new(kiln.identity(), all)
    };
    let build = with(&["build", "--tag", "steps", &ground.context]);
    // Only root may remove what belongs to subordinate ids.
    let root_user = Identity {
        uid: rustix::process::getuid().as_raw(),
        ..kiln.identity().clone()
    };
    let delete = Invocation::new(&root_user, ["rm", "-rf", &*root]);
    contest.add(Work::Cold, tool, vec![delete], build.clone());
    contest.add(Work::Cached, tool, Vec::new(), build);
    let run = with(&["run", "--rm", "--network", "none", &ground.base, "true"]);
    contest.add(Work::Run, tool, Vec::new(), run);
}

/// Adds the peers that are installed and work here; returns what is said of the others.
pub fn add_installed(
    contest: &mut Contest,
    ground: &Ground,
    scratch: &Scratch,
) -> Result<Vec<String>> {
    let identity = Identity::current()?;
    if !identity.is_root() {
        return Ok(vec!["peers: measured by root only".to_owned()]);
    }
    let namespace = CgroupNamespace::enter(scratch)?;
    let mut missing = Vec::new();
    for (name, add) in [
        ("buildah", buildah as Add),
        ("docker", docker),
        ("crun", crun),
    ] {
        if program::find(name).is_none() {
            missing.push(format!("{name}: not installed"));
        } else if let Err(error) = add(contest, ground, scratch, &identity, &namespace) {
            let reason = format!("{error:#}");
            missing.push(format!(
                "{name}: does not start ({})",
                reason.lines().last().unwrap_or_default()
            ));
        }
    }
    contest.keep(namespace);
    Ok(missing)
}

type Add = fn(&mut Contest, &Ground, &Scratch, &Identity, &CgroupNamespace) -> Result<()>;

fn buildah(
    contest: &mut Contest,
    ground: &Ground,
    scratch: &Scratch,
    identity: &Identity,
    namespace: &CgroupNamespace,
) -> Result<()> {
    let directory = scratch.directory("buildah")?;
    let configuration = directory.join("containers.conf");
    std::fs::write(&configuration, CONTAINERS_CONF)?;
    let (root, run) = (directory.join("root"), directory.join("run"));
    let with = |words: &[&str]| {
        let (root, run) = (root.to_string_lossy(), run.to_string_lossy());
        let own = [
            "buildah",
            "--root",
            &root,
            "--runroot",
            &run,
            "--storage-driver",
            "overlay",
        ];
        let all = own.into_iter().chain(words.iter().copied());
        let mut invocation = namespace.inside(identity, all);
        let value = configuration.to_string_lossy().into_owned();
        invocation
            .variables
            .push(("CONTAINERS_CONF".to_owned(), value));
        invocation
    };
    let build = with(&[
        "bud",
        "--layers",
        "--tls-verify=false",
        "--runtime-flag",
        "cgroup-manager=disabled",
        "--tag",
        "steps",
        &ground.context,
    ]);
    let delete = with(&["rmi", "--all", "--force"]);
    build.run()?;
    contest.add(Work::Cold, "buildah", vec![delete], build.clone());
    contest.add(Work::Cached, "buildah", Vec::new(), build);
    Ok(())
}

fn docker(
    contest: &mut Contest,
    ground: &Ground,
    _scratch: &Scratch,
    identity: &Identity,
    _namespace: &CgroupNamespace,
) -> Result<()> {
    let docker = |words: &[&str]| {
        Invocation::new(
            identity,
            ["docker"].into_iter().chain(words.iter().copied()),
        )
    };
    docker(&["info"]).run()?;
    let build = docker(&["build", "--tag", "steps", &ground.context]);
    let delete = vec![
        docker(&["image", "rm", "--force", "steps", &ground.base]),
        docker(&["builder", "prune", "--all", "--force"]),
    ];
    build.run()?;
    contest.add(Work::Cold, "docker", delete, build.clone());
    contest.add(Work::Cached, "docker", Vec::new(), build);
    let run = docker(&["run", "--rm", "--network", "none", &ground.base, "true"]);
    contest.add(Work::Run, "docker", Vec::new(), run);
    Ok(())
}

fn crun(
    contest: &mut Contest,
    ground: &Ground,
    scratch: &Scratch,
    identity: &Identity,
    namespace: &CgroupNamespace,
) -> Result<()> {
    let bundle = scratch.directory("bundle")?;
    let specification = bundle.join("config.json");
    process::run(Command::new("crun").arg("spec").current_dir(&bundle), LIMIT)?;
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&specification)?)?;
    value["process"]["args"] = serde_json::json!(["/bin/true"]);
    value["process"]["terminal"] = false.into();
    value["root"]["path"] = ground.rootfs.to_string_lossy().into();
    std::fs::write(&specification, value.to_string())?;
    let (bundle, state) = (bundle.to_string_lossy(), scratch.path().join("crun"));
    let state = state.to_string_lossy();
    let run = namespace.inside(
        identity,
        [
            "crun",
            "--root",
            &state,
            "--cgroup-manager=disabled",
            "run",
            "--bundle",
            &bundle,
            "bench",
        ],
    );
    run.run()?;
    contest.add(Work::Run, "crun, bundle prepared", Vec::new(), run);
    let nothing = namespace.inside(identity, ["true"]);
    contest.add(
        Work::Run,
        "(entering the namespace in which crun works, alone)",
        Vec::new(),
        nothing,
    );
    Ok(())
}

/// A mount namespace in which cgroup v2 is alone.
#[derive(Debug)]
pub struct CgroupNamespace {
    process: Background,
}

impl CgroupNamespace {
    /// Makes it.
    pub fn enter(scratch: &Scratch) -> Result<Self> {
        let ready = scratch.path().join("namespace");
        let script = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && touch \"$0\" && exec sleep infinity";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script])
            .arg(&ready)
            .stdin(Stdio::null());
        let mut process = Background::start(&mut command)?;
        wait_for(&ready, &mut process)?;
        Ok(Self { process })
    }

    /// A command line inside the namespace.
    pub fn inside<W: Into<String>>(
        &self,
        identity: &Identity,
        words: impl IntoIterator<Item = W>,
    ) -> Invocation {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.process.id());
        let all = ["nsenter".to_owned(), namespace]
            .into_iter()
            .chain(words.into_iter().map(Into::into));
        Invocation::new(identity, all)
    }
}

fn wait_for(file: &Path, process: &mut Background) -> Result<()> {
    while !file.exists() {
        if let Some(status) = process.wait(Duration::from_millis(5))? {
            return Err(anyhow::anyhow!("unshare failed ({status})"))
                .context("make a mount namespace");
        }
    }
    Ok(())
}
