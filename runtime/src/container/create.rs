//! Making a container: an image's configuration and the command line's wishes, combined by docker's rules.

pub(super) mod keeping;
mod options;
mod settings;

use std::fs;
use std::path::Path;

use kiln_store::{Image, Store};

pub use options::{CreateOptions, Created, HealthOptions, LimitOptions};

use super::Containers;
use super::config::{Config, MountConfig, MountOrigin};
use super::error::{Context, Error, Result};
use super::id::ContainerId;
use super::image_tree::ImageTree;
use super::mounts::{MountRequest, SourceRequest, parse_volumes_from};
use super::names;
use super::state::{Moment, State};
use super::volumes::{self, Volume, Volumes};

impl Containers {
    /// Makes a container from an image that the user called `reference`. It is not started.
    pub fn create(
        &self,
        image: &Image,
        reference: &str,
        options: &CreateOptions,
    ) -> Result<Created> {
        let id = ContainerId::random()?;
        let name = self.choose_name(options)?;
        let tree = ImageTree::open(&self.store, image.config.diff_ids())?;
        let mut user = tree.user(options.user.as_deref().unwrap_or(&image.config.config.user))?;
        for group in &options.groups {
            let number = tree.group(group)?;
            if !user.ids.groups.contains(&number) {
                user.ids.groups.push(number);
            }
        }
        let mut settled = settings::settle(&id, &name, image, reference, options, &user)?;
        let others = self.volumes_from(&options.volumes_from)?;
        self.settle_network(&mut settled.config)?;
        self.settle_namespaces(&mut settled.config)?;
        let mounts = self.settle_mounts(settled.mounts, &others, &tree)?;
        settled.config.mounts.extend(mounts);
        let made = self.make(&settled.config, &tree);
        if made.is_err() {
            // What cannot be undone now is left to `prune`.
            let _ = remove_new_volumes(self.store.root(), &settled.config);
        }
        made.map(|()| Created {
            id,
            name,
            warnings: settled.warnings,
        })
    }

    fn choose_name(&self, options: &CreateOptions) -> Result<String> {
        let Some(name) = options
            .name
            .as_deref()
            .map(|name| name.trim_start_matches('/'))
        else {
            return self.names.random();
        };
        names::validate(name)?;
        match self.names.owner(name)? {
            Some(owner) => Err(Error::NameTaken {
                name: name.to_owned(),
                owner,
            }),
            None => Ok(name.to_owned()),
        }
    }

    /// Writes the container's directory under a temporary name, brings it into place and reserves its name.
    fn make(&self, config: &Config, tree: &ImageTree<'_>) -> Result<()> {
        let making = self.store.temporary_directory("container")?;
        let path = making.path();
        tree.make_upper(path, &config.process.cwd)?;
        let durable = !config.auto_remove;
        State::created().write(path, false)?;
        fs::write(path.join("id"), config.id.as_str())
            .context(|| "writing the container's id".to_owned())?;
        config.write(path, durable)?;
        let place = self.directory(&config.id);
        fs::rename(path, &place).context(|| format!("creating {}", place.display()))?;
        if let Err(error) = self.names.reserve(&config.name, &place.join("id")) {
            fs::remove_dir_all(&place).context(|| format!("removing {}", place.display()))?;
            return Err(error);
        }
        // Until here this process's lease kept the layers. A pin without a container is always left over (see `removal`).
        self.store
            .pin(config.id.as_str(), &[], &config.image.layers)?;
        Ok(())
    }

    /// Volumes and binds of other containers. Of two at one path the later one holds.
    fn volumes_from(&self, texts: &[String]) -> Result<Vec<MountConfig>> {
        let mut mounts: Vec<MountConfig> = Vec::new();
        for text in texts {
            let (container, read_only) = parse_volumes_from(text)?;
            let other = self.find(container)?;
            for mount in other.config().shown_mounts() {
                if matches!(mount.source, MountOrigin::Tmpfs { .. }) {
                    continue;
                }
                mounts.retain(|other| other.target != mount.target);
                let mut mount = mount.clone();
                mount.read_only = read_only.unwrap_or(mount.read_only);
                mounts.push(mount);
            }
        }
        Ok(mounts)
    }

    /// Makes the volumes and directories that the mounts need.
    fn settle_mounts(
        &self,
        requests: Vec<MountRequest>,
        others: &[MountConfig],
        tree: &ImageTree<'_>,
    ) -> Result<Vec<MountConfig>> {
        let volumes = Volumes::open(self.store.root())?;
        let mut mounts = Vec::new();
        for other in others {
            // What the command line says of a path holds; what the image says does not.
            if !requests
                .iter()
                .any(|request| request.target == other.target && !request.of_image)
            {
                mounts.push(other.clone());
            }
        }
        for request in requests {
            if request.of_image && mounts.iter().any(|mount| mount.target == request.target) {
                continue;
            }
            let volume = match &request.source {
                SourceRequest::Volume {
                    name, copy, labels, ..
                } => {
                    let volume = Volume {
                        name: name.clone().map_or_else(volumes::anonymous_name, Ok)?,
                        created: Moment::now(),
                        anonymous: name.is_none(),
                        labels: labels.clone(),
                    };
                    let fill = |data: &Path| {
                        if *copy {
                            tree.copy_up(&request.target, data)
                        } else {
                            Ok(())
                        }
                    };
                    let volume = volumes.create(&volume, &fill)?;
                    Some((volume.name, name.is_none()))
                }
                SourceRequest::Bind { path, create } => {
                    check_bind(path, *create)?;
                    None
                }
                SourceRequest::Tmpfs { .. } => None,
            };
            mounts.push(request.settle(volume));
        }
        Ok(mounts)
    }
}

/// Checks that the source of a bind exists, or makes it.
fn check_bind(path: &Path, create: bool) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    if create {
        return fs::create_dir_all(path)
            .context(|| format!("creating the bind source path {}", path.display()));
    }
    Err(Error::Invalid(format!(
        "invalid mount config for type \"bind\": bind source path does not exist: {}",
        path.display()
    )))
}

fn remove_new_volumes(root: &Path, config: &Config) -> Result<()> {
    let volumes = Volumes::open(root)?;
    for mount in &config.mounts {
        if let MountOrigin::Volume {
            name,
            anonymous: true,
            ..
        } = &mount.source
        {
            volumes.delete(name)?;
        }
    }
    Ok(())
}

/// Directories of an image's layers, relative to the store's root.
pub(crate) fn relative_lowers(
    store: &Store,
    lowers: &[std::path::PathBuf],
) -> Result<Vec<std::path::PathBuf>> {
    lowers
        .iter()
        .map(|path| {
            path.strip_prefix(store.root())
                .map(Path::to_owned)
                .map_err(|_| Error::Invalid(format!("{} is not in the store", path.display())))
        })
        .collect()
}
