//! What tests of the built binary stand on: a scratch directory, a copy of the binary, a store, somebody who runs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::identity::Identity;
use crate::kiln::Kiln;
use crate::process::Finished;
use crate::scratch::Scratch;
use crate::{busybox, debian};

/// Names another binary than the one that was built with the tests.
const BINARY_VARIABLE: &str = "KILN_TEST_BINARY";

/// The binary under test: `built`, or the one that the environment names.
pub fn binary(built: &str) -> PathBuf {
    std::env::var_os(BINARY_VARIABLE).map_or_else(|| built.into(), PathBuf::from)
}

/// A store with nobody else in it. Its containers, its networks, its processes and its files end with the value.
#[derive(Debug)]
pub struct Stage {
    // Fields end in this order.
    kiln: Kiln,
    scratch: Scratch,
}

impl Stage {
    /// Makes a stage for `identity` with `room` bytes, on a tmpfs or below `fallback`. `built` is the binary of this test run.
    pub fn new(
        prefix: &str,
        identity: &Identity,
        room: u64,
        fallback: &Path,
        built: &str,
    ) -> Result<Self> {
        let scratch = Scratch::new(prefix, identity, room, fallback)?;
        let kiln = Kiln::install(&binary(built), &scratch, identity)?;
        Ok(Self { kiln, scratch })
    }

    /// The binary and its store.
    pub fn kiln(&self) -> &Kiln {
        &self.kiln
    }

    /// Who runs it.
    pub fn identity(&self) -> &Identity {
        self.kiln.identity()
    }

    /// A directory that goes away with the stage and belongs to its user.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Builds an image of two megabytes as `tag`.
    pub fn busybox(&self, tag: &str) -> Result<Finished> {
        let directory = self.scratch.directory("base")?;
        busybox::write(&directory)?;
        self.kiln
            .run(&["build", "--tag", tag, &directory.to_string_lossy()])
    }

    /// Builds a minimal Debian as `tag`, from a tar that is kept below `cache`.
    pub fn debian(&self, tag: &str, cache: &Path) -> Result<Finished> {
        let tarball = debian::tarball(cache)?;
        let directory = self.scratch.directory("debian")?;
        std::fs::copy(tarball.path, directory.join("rootfs.tar")).context("copy the base tar")?;
        let dockerfile = directory.join("Dockerfile");
        let text = "FROM scratch\nADD rootfs.tar /\nCMD [\"bash\"]\n";
        std::fs::write(&dockerfile, text)
            .with_context(|| format!("write {}", dockerfile.display()))?;
        self.identity().take(&dockerfile)?;
        self.kiln
            .run(&["build", "--tag", tag, &directory.to_string_lossy()])
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.kiln.clear() {
            let root = self.kiln.root().display();
            eprintln!("cannot clear the store {root}: {error:#}");
        }
    }
}
