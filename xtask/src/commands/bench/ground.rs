//! What a row stands on: a binary, a scratch directory, a registry, the base image.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use xtask::docker_registry::DockerRegistry;
use xtask::identity::{Identity, TEST_USER};
use xtask::kiln::Kiln;
use xtask::scratch::Scratch;
use xtask::{busybox, process};

use super::cgroups::CgroupNamespace;
use super::invocation::Invocation;

const LIMIT: Duration = Duration::from_secs(60);

/// How the rows are measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of long work; short work takes ten times as many.
    pub rounds: usize,
    /// A sixteenth of each size, to see that a row works.
    pub quick: bool,
}

impl Effort {
    /// Rounds of short work, which needs more for a steady median.
    pub fn many(self) -> usize {
        10 * self.rounds
    }

    /// A size or number as the target has it, less when quick.
    pub fn size(self, full: usize) -> usize {
        if self.quick { full / 16 } else { full }
    }
}

/// What one row stands on; all of it ends with the value.
#[derive(Debug)]
pub struct Ground {
    // Fields end in this order: processes before the directory they work in.
    registry: OnceCell<DockerRegistry>,
    namespace: OnceCell<CgroupNamespace>,
    kiln: Kiln,
    identity: Identity,
    effort: Effort,
    scratch: Scratch,
}

impl Ground {
    /// Installs `binary` below `scratch`.
    pub fn new(binary: &Path, scratch: Scratch, effort: Effort) -> Result<Self> {
        let identity = Identity::current()?;
        Ok(Self {
            registry: OnceCell::new(),
            namespace: OnceCell::new(),
            kiln: Kiln::install(binary, &scratch, &identity)?,
            identity,
            effort,
            scratch,
        })
    }

    /// Who measures.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How much is done.
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// The directory that all data is in.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// kiln with the store of whoever measures.
    pub fn kiln(&self) -> &Kiln {
        &self.kiln
    }

    /// kiln with another store, called `name`.
    pub fn another_store(&self, name: &str) -> Kiln {
        let program = self.kiln.program().to_owned();
        Kiln::at(program, self.scratch.path().join(name), &self.identity)
    }

    /// kiln of an ordinary user with a store of its own; none when root is not there to act as it.
    pub fn rootless(&self) -> Result<Option<Kiln>> {
        let Some(user) = Identity::named(TEST_USER)
            .ok()
            .filter(|_| self.identity.is_root())
        else {
            return Ok(None);
        };
        let store = self.scratch.directory("user")?;
        user.take(&store)?;
        let program = self.kiln.program().to_owned();
        Ok(Some(Kiln::at(program, store.join("store"), &user)))
    }

    /// Where `time` writes.
    pub fn peak_file(&self) -> PathBuf {
        self.scratch.path().join("peak")
    }

    /// A registry on loopback, started at the first use.
    pub fn registry(&self) -> Result<&DockerRegistry> {
        if self.registry.get().is_none() {
            let started = self.another_registry("registry")?;
            // Nobody else can have set it: this value is not shared.
            let _ = self.registry.set(started);
        }
        self.registry.get().context("a registry that was started")
    }

    /// One more registry.
    pub fn another_registry(&self, name: &str) -> Result<DockerRegistry> {
        DockerRegistry::start(&self.identity, &self.scratch.directory(name)?, None)
    }

    /// A mount namespace with cgroup v2 alone, which crun and buildah want; made at the first use.
    pub fn namespace(&self) -> Result<&CgroupNamespace> {
        if !self.identity.is_root() {
            return Err(anyhow!("measured by root only"));
        }
        if self.namespace.get().is_none() {
            let _ = self.namespace.set(CgroupNamespace::enter(&self.scratch)?);
        }
        self.namespace.get().context("a namespace that was entered")
    }

    /// The base image, two megabytes of busybox: made with kiln, pushed to the registry.
    pub fn base(&self) -> Result<Base> {
        let directory = self.scratch.directory("base")?;
        busybox::write(&directory)?;
        let image = format!("{}/base:1", self.registry()?.host());
        self.kiln
            .run(&["build", "--tag", &image, &directory.to_string_lossy()])?;
        self.kiln.run(&["push", &image])?;
        Ok(Base { image, directory })
    }

    /// A context that holds `dockerfile`.
    pub fn context(&self, name: &str, dockerfile: &str) -> Result<PathBuf> {
        let context = self.scratch.directory(name)?;
        std::fs::write(context.join("Dockerfile"), dockerfile)
            .with_context(|| format!("write {}", context.display()))?;
        Ok(context)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = self.kiln.clear() {
            eprintln!("cannot clear the store of the row: {error:#}");
        }
    }
}

/// The base image and what it was made of.
#[derive(Debug)]
pub struct Base {
    /// Its name in the registry.
    pub image: String,
    /// A context with `base.tar` and a Dockerfile, for those who cannot pull it.
    pub directory: PathBuf,
}

impl Base {
    /// Its tree, for runtimes without images.
    pub fn rootfs(&self) -> Result<PathBuf> {
        let rootfs = self.directory.join("tree");
        std::fs::create_dir_all(&rootfs)?;
        let mut tar = Command::new("tar");
        tar.arg("xf").arg(self.directory.join("base.tar"));
        process::run(tar.arg("-C").arg(&rootfs), LIMIT)?;
        Ok(rootfs)
    }
}

/// A command line of `kiln`'s.
pub fn kiln(kiln: &Kiln, words: &[&str]) -> Invocation {
    let (program, root) = (
        kiln.program().to_string_lossy(),
        kiln.root().to_string_lossy(),
    );
    let all = [&*program, "--root", &root]
        .into_iter()
        .chain(words.iter().copied());
    Invocation::new(kiln.identity(), all)
}

/// Deletes the store of `kiln`. Only root may remove what belongs to subordinate ids.
pub fn delete_store(kiln: &Kiln) -> Invocation {
    let acting = Identity {
        uid: rustix::process::getuid().as_raw(),
        ..kiln.identity().clone()
    };
    Invocation::new(&acting, ["rm", "-rf", &*kiln.root().to_string_lossy()])
}
