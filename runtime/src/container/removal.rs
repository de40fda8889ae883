//! Removing a container: its name, its directory and, when asked, its anonymous volumes.

use std::fs;
use std::io;
use std::path::Path;

use kiln_store::Store;

use super::config::{Config, MountOrigin};
use super::error::{Context, Error, Result};
use super::names::Names;
use super::volumes::{self, Volumes};

/// Removes what belongs to a container that does not run. One that is gone already is fine.
pub(crate) fn remove(root: &Path, config: &Config, anonymous_volumes: bool) -> Result<()> {
    // The name first: a crash must not leave a name without a container.
    Names::open(root)?.release(&config.name, &config.id)?;
    let directory = root.join("containers").join(config.id.as_str());
    let dying = root.join("tmp").join(format!("container-{}", config.id));
    match fs::rename(&directory, &dying) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.context(|| format!("removing container {}", config.id.short()))?,
    }
    Store::unpin_at(root, config.id.as_str())?;
    if anonymous_volumes {
        remove_anonymous_volumes(root, config)?;
    }
    // It is gone for everybody by now; what can't be deleted lies in tmp/, which is swept.
    match fs::remove_dir_all(&dying) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            operation: format!("deleting {}", dying.display()),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn remove_anonymous_volumes(root: &Path, config: &Config) -> Result<()> {
    let volumes = Volumes::open(root)?;
    let mut others = None;
    for mount in &config.mounts {
        let MountOrigin::Volume {
            name,
            anonymous: true,
            ..
        } = &mount.source
        else {
            continue;
        };
        let others = match &others {
            Some(others) => others,
            None => others.insert(all_configs(root)?),
        };
        if !others.iter().any(|other| volumes::uses(other, name)) {
            volumes.delete(name)?;
        }
    }
    Ok(())
}

/// The configurations of all containers. One that is being removed at this moment is left out.
pub(crate) fn all_configs(root: &Path) -> Result<Vec<Config>> {
    let directory = root.join("containers");
    let mut configs = Vec::new();
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(configs),
        other => other.context(|| format!("reading {}", directory.display()))?,
    };
    for entry in entries {
        let path = entry
            .context(|| format!("reading {}", directory.display()))?
            .path();
        match Config::read(&path) {
            Ok(config) => configs.push(config),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            // One damaged record must not be in the way of all others: see `Containers::damaged`.
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(configs)
}
