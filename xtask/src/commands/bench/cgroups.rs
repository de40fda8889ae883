//! A place where runtimes work that refuse a machine with hybrid cgroups.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use xtask::background::Background;
use xtask::identity::Identity;
use xtask::scratch::Scratch;

use super::invocation::Invocation;

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
            return Err(anyhow!("unshare failed ({status})")).context("make a mount namespace");
        }
    }
    Ok(())
}
