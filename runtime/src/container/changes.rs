//! The few things about a container that change after its creation: its name, its limits, its restart policy.
//!
//! `config.json` is replaced as a whole, under a lock on the container's directory, so that two commands can't undo each other's
//! change. A monitor reads the file again when it needs what may have changed.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

use super::Containers;
use super::config::Config;
use super::containers::Container;
use super::error::{Context, Error, Result};
use super::names;

impl Container {
    /// Changes its configuration.
    pub(super) fn change(&self, edit: impl FnOnce(&mut Config) -> Result<()>) -> Result<Config> {
        let describe = || format!("locking {}", self.directory.display());
        let lock = File::open(&self.directory).context(describe)?;
        flock(&lock, FlockOperation::LockExclusive).context(describe)?;
        let mut config = Config::read(&self.directory)?;
        edit(&mut config)?;
        config.write(&self.directory, true)?;
        Ok(config)
    }
}

impl Containers {
    /// Gives a container another name.
    pub fn rename(&self, container: &Container, name: &str) -> Result<()> {
        let name = name.trim_start_matches('/');
        if name.is_empty() {
            return Err(Error::Invalid(
                "Neither old nor new names may be empty".to_owned(),
            ));
        }
        names::validate(name)?;
        if container.config.name == name {
            return Err(Error::Invalid(
                "Renaming a container with the same name as its current name".to_owned(),
            ));
        }
        let mut old = String::new();
        container.change(|config| {
            // The new name first: a crash in between leaves a container with two names, never one without.
            self.names.reserve(name, &container.directory.join("id"))?;
            old = std::mem::replace(&mut config.name, name.to_owned());
            Ok(())
        })?;
        self.names.release(&old, container.id())
    }
}
