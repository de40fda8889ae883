//! The built binary, driven as a user drives it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::identity::Identity;
use crate::process::{self, Finished};
use crate::scratch::{Scratch, remove_tree};

/// The longest that one command may take.
const LIMIT: Duration = Duration::from_secs(600);

/// A kiln binary, who runs it, and the store it works in.
#[derive(Debug, Clone)]
pub struct Kiln {
    program: PathBuf,
    root: PathBuf,
    identity: Identity,
}

impl Kiln {
    /// Puts a copy of `binary` where `identity` can run it, below `scratch`, with a store beside it.
    pub fn install(binary: &Path, scratch: &Scratch, identity: &Identity) -> Result<Self> {
        let program = scratch.directory("bin")?.join("kiln");
        std::fs::copy(binary, &program).with_context(|| format!("copy {}", binary.display()))?;
        Ok(Self::at(program, scratch.path().join("store"), identity))
    }

    /// The binary `program` with the store `root`.
    pub fn at(program: PathBuf, root: PathBuf, identity: &Identity) -> Self {
        Self {
            program,
            root,
            identity: identity.clone(),
        }
    }

    /// Who runs it.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The binary.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A command of kiln's on the store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.identity.command(&self.program);
        command.arg("--root").arg(&self.root).args(arguments);
        command
    }

    /// Runs a command that may fail.
    pub fn capture(&self, arguments: &[&str]) -> Result<Finished> {
        process::capture(&mut self.command(arguments), LIMIT)
    }

    /// Runs a command that has to succeed.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished> {
        process::run(&mut self.command(arguments), LIMIT)
    }

    /// Deletes the store as its owner would, with `rm`; its bridges, which no file is, go first.
    pub fn delete_store(&self) -> Result<()> {
        self.remove_networks()?;
        remove_tree(&self.root, &self.identity)
    }

    /// Takes what the store has outside of its files from the machine: containers, then the bridges and rules of networks, those of
    /// build steps included.
    pub fn clear(&self) -> Result<()> {
        let containers = self.remove_containers();
        let networks = self.remove_networks();
        containers.and(networks)
    }

    /// Ends and removes every container of the store, whatever happened before.
    pub fn remove_containers(&self) -> Result<()> {
        if !self.root.join("containers").exists() {
            return Ok(());
        }
        let list = process::capture_always(&mut self.command(&["ps", "--all", "--quiet"]), LIMIT)?;
        ensure!(
            list.status.success(),
            "list the containers: {}",
            list.stderr
        );
        let ids: Vec<_> = list.stdout.split_whitespace().collect();
        if !ids.is_empty() {
            let mut command = self.command(&["rm", "--force"]);
            let removed = process::capture_always(command.args(ids), LIMIT)?;
            ensure!(
                removed.status.success(),
                "remove the containers: {}",
                removed.stderr
            );
        }
        Ok(())
    }

    /// Takes the bridges of the store out of the machine.
    fn remove_networks(&self) -> Result<()> {
        if !self.root.join("networks").exists() {
            return Ok(());
        }
        let mut command = self.command(&["network", "prune", "--all", "--force"]);
        let removed = process::capture_always(&mut command, LIMIT)?;
        ensure!(
            removed.status.success(),
            "remove the networks: {}",
            removed.stderr
        );
        Ok(())
    }
}
