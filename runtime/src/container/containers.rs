//! The containers of a store, and how they are found.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use kiln_store::Store;

use super::config::{Config, MountOrigin};
use super::error::{Context, Error, Result};
use super::id::{self, ContainerId};
use super::names::Names;
use super::removal::all_configs;
use super::volumes::Volumes;

/// All containers of a store.
#[derive(Clone, Debug)]
pub struct Containers {
    pub(super) store: Store,
    pub(super) names: Names,
}

impl Containers {
    /// The containers of `store`; its directories for them are made when missing.
    pub fn open(store: Store) -> Result<Self> {
        let directory = store.root().join("containers");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .context(|| format!("creating {}", directory.display()))?;
        let names = Names::open(store.root())?;
        Ok(Self { store, names })
    }

    /// The volumes of the same store.
    pub fn volumes(&self) -> Result<Volumes> {
        Volumes::open(self.store.root())
    }

    /// Finds a container by its id, its name, or the beginning of its id, in this order.
    pub fn find(&self, text: &str) -> Result<Container> {
        let not_found = || Error::NotFound(text.to_owned());
        if let Ok(id) = text.parse::<ContainerId>()
            && let Some(container) = self.load(&id)?
        {
            return Ok(container);
        }
        if let Some(id) = self.names.owner(text.trim_start_matches('/'))?
            && let Some(container) = self.load(&id)?
        {
            return Ok(container);
        }
        if !id::is_prefix(text) {
            return Err(not_found());
        }
        let mut found = self
            .ids()?
            .into_iter()
            .filter(|id| id.as_str().starts_with(text))
            .collect::<Vec<_>>();
        match found.len() {
            0 => Err(not_found()),
            1 => self.load(&found.remove(0))?.ok_or_else(not_found),
            _ => Err(Error::Ambiguous {
                prefix: text.to_owned(),
                candidates: found.iter().map(|id| id.short().to_owned()).collect(),
            }),
        }
    }

    /// All containers, newest first.
    pub fn list(&self) -> Result<Vec<Container>> {
        let mut configs = all_configs(self.store.root())?;
        configs.sort_by(|one, two| (two.created, &two.id).cmp(&(one.created, &one.id)));
        Ok(configs
            .into_iter()
            .map(|config| self.container(config))
            .collect())
    }

    /// The names of all volumes that containers mount.
    pub fn used_volumes(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for config in all_configs(self.store.root())? {
            for mount in config.mounts {
                if let MountOrigin::Volume { name, .. } = mount.source {
                    names.insert(name);
                }
            }
        }
        Ok(names)
    }

    /// Removes a volume that no container mounts.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        self.volumes()?
            .remove(name, &all_configs(self.store.root())?)
    }

    /// Gives the layers free that a removal which was cut short left pinned. A pin is made after its container appears, so
    /// one without a container is nobody's.
    pub fn release_left_pins(&self) -> Result<()> {
        for name in self.store.pins()? {
            if let Ok(id) = name.parse::<ContainerId>()
                && !self.directory(&id).exists()
            {
                self.store.unpin(&name)?;
            }
        }
        Ok(())
    }

    pub(super) fn directory(&self, id: &ContainerId) -> PathBuf {
        self.store.root().join("containers").join(id.as_str())
    }

    pub(super) fn ids(&self) -> Result<Vec<ContainerId>> {
        let directory = self.store.root().join("containers");
        let describe = || format!("reading {}", directory.display());
        let mut ids = Vec::new();
        for entry in fs::read_dir(&directory).context(describe)? {
            if let Some(id) = entry
                .context(describe)?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn load(&self, id: &ContainerId) -> Result<Option<Container>> {
        match Config::read(&self.directory(id)) {
            Ok(config) => Ok(Some(self.container(config))),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn container(&self, config: Config) -> Container {
        Container {
            root: self.store.root().to_owned(),
            directory: self.directory(&config.id),
            config,
        }
    }
}

/// One container.
#[derive(Clone, Debug)]
pub struct Container {
    pub(super) root: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) config: Config,
}

impl Container {
    /// What it is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its identity.
    pub fn id(&self) -> &ContainerId {
        &self.config.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether it is still there.
    pub fn exists(&self) -> bool {
        self.directory.exists()
    }

    /// Its writable layer.
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    pub(super) fn log_directory(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.directory.join("monitor.lock")
    }

    /// The store's root.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}
