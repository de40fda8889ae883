//! The few things about a container that change after its creation: its name, its limits, its restart policy.
//!
//! `config.json` is replaced as a whole, under a lock on the container's directory, so that two commands can't undo each other's
//! change. A monitor reads the file again when it needs what may have changed.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

use super::Containers;
use super::config::Config;
use super::containers::Container;
use super::create::{LimitOptions, keeping};
use super::error::{Context, Error, Result};
use super::names;
use super::policy::RestartPolicy;
use super::state::Status;

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

/// What `update` changes; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateOptions {
    /// Limits.
    pub limits: LimitOptions,
    /// The restart policy.
    pub restart: Option<String>,
}

impl Container {
    /// Changes limits and restart policy, at once where that can be done. Gives what the user should know.
    pub fn update(&self, options: &UpdateOptions) -> Result<Vec<String>> {
        let new = keeping::limits(&options.limits)?;
        let restart = options
            .restart
            .as_deref()
            .map(RestartPolicy::parse)
            .transpose()?;
        let config = self.change(|config| {
            let old = &mut config.limits;
            old.memory = new.memory.or(old.memory);
            old.swap = new.swap.or(old.swap);
            old.cpu_quota = new.cpu_quota.or(old.cpu_quota);
            old.cpu_shares = new.cpu_shares.or(old.cpu_shares);
            old.processes = new.processes.or(old.processes);
            if let Some(restart) = restart {
                if config.auto_remove && restart != RestartPolicy::No {
                    return Err(Error::Invalid(
                        "Restart policy cannot be updated because AutoRemove is enabled for the container".to_owned(),
                    ));
                }
                config.restart = restart;
            }
            Ok(())
        })?;
        let state = self.state()?;
        if new.is_empty() || state.status != Status::Running {
            return Ok(Vec::new());
        }
        let missing = match &state.cgroup {
            Some(cgroup) => cgroup
                .change(&config.limits)
                .context(|| format!("changing the limits of container {}", config.name))?,
            None => vec!["memory, cpu and pids"],
        };
        Ok(missing
            .iter()
            .map(|controller| {
                format!(
                    "limits of {controller} are in force from the next start of {}",
                    config.name
                )
            })
            .collect())
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
