//! Containers whose `config.json` can't be read: they are shown, and can be removed.

use std::fs;

use super::Containers;
use super::config::Config;
use super::control::{Channel, Request};
use super::error::{Context, Error, Result};
use super::id::{self, ContainerId};
use super::lock;
use super::signals::KILL;

/// What is known of such a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedContainer {
    /// Its identity.
    pub id: ContainerId,
    /// The names that lead to it.
    pub names: Vec<String>,
}

impl Containers {
    /// All of them.
    pub fn damaged(&self) -> Result<Vec<DamagedContainer>> {
        let mut found = Vec::new();
        for id in self.ids()? {
            if let Err(Error::Damaged { .. }) = Config::read(&self.directory(&id)) {
                let names = self.names.of(&id)?;
                found.push(DamagedContainer { id, names });
            }
        }
        Ok(found)
    }

    /// Removes the one that `text` names, if there is one; its processes are ended first.
    pub fn remove_damaged(&self, text: &str) -> Result<bool> {
        let is_it = |damaged: &DamagedContainer| {
            damaged.names.iter().any(|name| name == text)
                || (id::is_prefix(text) && damaged.id.as_str().starts_with(text))
        };
        let Some(damaged) = self.damaged()?.into_iter().find(is_it) else {
            return Ok(false);
        };
        let directory = self.directory(&damaged.id);
        if let Ok(channel) = Channel::connect(&directory) {
            let stop = Request::Stop {
                signal: Some(KILL),
                timeout: None,
            };
            // A monitor that does not listen any more is ending.
            let _ = channel.send(&stop, &[]);
            lock::wait_until_free(&directory.join("monitor.lock"))?;
        }
        for name in &damaged.names {
            self.names.release(name, &damaged.id)?;
        }
        let dying = self
            .store
            .root()
            .join("tmp")
            .join(format!("container-{}", damaged.id));
        fs::rename(&directory, &dying)
            .context(|| format!("removing container {}", damaged.id.short()))?;
        self.store.unpin(damaged.id.as_str())?;
        // What can't be deleted lies in tmp/, which is swept.
        fs::remove_dir_all(&dying).context(|| format!("deleting {}", dying.display()))?;
        Ok(true)
    }
}
