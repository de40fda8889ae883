//! Volumes: directories `volumes/<name>/_data` that outlive their containers.
//!
//! A volume is made under a temporary name and renamed, so it is never seen half filled. Its `volume.json` says what it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::{Config, MountOrigin};
use super::error::{Context, Error, Result};
use super::names;
use super::random;
use super::state::{Moment, write_atomically};

/// Where volumes live below the store's root.
const DIRECTORY: &str = "volumes";
/// The content of a volume in its directory.
const DATA: &str = "_data";
/// Its description.
const RECORD: &str = "volume.json";

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Moment,
    /// Made for one container, without a name of its own.
    pub anonymous: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where the content of a volume is.
pub(crate) fn data_directory(root: &Path, name: &str) -> PathBuf {
    root.join(DIRECTORY).join(name).join(DATA)
}

/// A name for a volume without one: 64 digits, as docker's.
pub(crate) fn anonymous_name() -> Result<String> {
    let mut bytes = [0; 32];
    random::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The volumes of a store.
#[derive(Clone, Debug)]
pub struct Volumes {
    root: PathBuf,
}

impl Volumes {
    /// The volumes below a store's root.
    pub fn open(root: &Path) -> Result<Self> {
        let directory = root.join(DIRECTORY);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .context(|| format!("creating {}", directory.display()))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// A name for a volume without one.
    pub fn random_name() -> Result<String> {
        anonymous_name()
    }

    /// Holds the content of a volume.
    pub fn open_content(&self, name: &str) -> Result<fs::File> {
        self.get(name)?;
        let path = self.mountpoint(name);
        fs::File::open(&path).context(|| format!("opening {}", path.display()))
    }

    /// Makes a volume; one that exists is returned as it is. `fill` may put first content into its directory.
    pub fn create(&self, volume: &Volume, fill: &dyn Fn(&Path) -> Result<()>) -> Result<Volume> {
        names::validate(&volume.name)?;
        let path = self.path(&volume.name);
        if path.exists() {
            return self.get(&volume.name);
        }
        // A name that can't be a volume's, so that a crash leaves nothing that is taken for one.
        let making = self
            .root
            .join(DIRECTORY)
            .join(format!(".making-{}", anonymous_name()?));
        let make = || -> Result<()> {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&making)
                .context(|| format!("creating {}", making.display()))?;
            let data = making.join(DATA);
            fs::DirBuilder::new()
                .mode(0o755)
                .create(&data)
                .context(|| format!("creating {}", data.display()))?;
            fill(&data)?;
            let record =
                serde_json::to_vec(volume).map_err(|error| Error::Invalid(error.to_string()))?;
            write_atomically(&making.join(RECORD), &record, true)
        };
        let made = make().and_then(|()| match fs::rename(&making, &path) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(Error::Io {
                    operation: String::new(),
                    source: error,
                })
            }
            other => other.context(|| format!("creating the volume {}", volume.name)),
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&making);
            // Another command made it at the same moment.
            if path.exists() {
                return self.get(&volume.name);
            }
        }
        made.map(|()| volume.clone())
    }

    /// Looks a volume up.
    pub fn get(&self, name: &str) -> Result<Volume> {
        if names::validate(name).is_err() {
            return Err(Error::NoSuchVolume(name.to_owned()));
        }
        let path = self.path(name).join(RECORD);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
                path: path.display().to_string(),
                reason: error.to_string(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoSuchVolume(name.to_owned()))
            }
            Err(error) => Err(error).context(|| format!("reading {}", path.display())),
        }
    }

    /// All volumes by name.
    pub fn list(&self) -> Result<Vec<Volume>> {
        let directory = self.root.join(DIRECTORY);
        let mut volumes = Vec::new();
        for entry in
            fs::read_dir(&directory).context(|| format!("reading {}", directory.display()))?
        {
            let entry = entry.context(|| format!("reading {}", directory.display()))?;
            match entry.file_name().to_str().map(|name| self.get(name)) {
                Some(Ok(volume)) => volumes.push(volume),
                Some(Err(Error::NoSuchVolume(_))) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        volumes.sort_by(|one, two| one.name.cmp(&two.name));
        Ok(volumes)
    }

    /// Removes a volume that no container in `configs` uses.
    pub fn remove(&self, name: &str, configs: &[Config]) -> Result<()> {
        self.get(name)?;
        let users: Vec<_> = configs
            .iter()
            .filter(|config| uses(config, name))
            .map(|config| config.id.to_string())
            .collect();
        if !users.is_empty() {
            return Err(Error::VolumeInUse {
                name: name.to_owned(),
                users,
            });
        }
        self.delete(name)
    }

    /// Removes a volume and its content.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        // Out of sight first: a crash in the middle leaves no half volume.
        let path = self.path(name);
        let dying = self.root.join(DIRECTORY).join(format!(".dying-{name}"));
        match fs::rename(&path, &dying) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other
                .and_then(|()| fs::remove_dir_all(&dying))
                .context(|| format!("removing the volume {name}")),
        }
    }

    /// Where the content of a volume is.
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        data_directory(&self.root, name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(DIRECTORY).join(name)
    }
}

/// Whether a container mounts a volume.
pub(crate) fn uses(config: &Config, volume: &str) -> bool {
    config
        .mounts
        .iter()
        .any(|mount| matches!(&mount.source, MountOrigin::Volume { name, .. } if name == volume))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::MountConfig;
    use crate::container::config::tests::sample;

    fn volume(name: &str) -> Volume {
        Volume {
            name: name.to_owned(),
            created: Moment(1),
            anonymous: false,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn a_volume_is_filled_once_and_kept_while_used() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path()).unwrap();
        let fill = |text: &'static str| {
            move |data: &Path| fs::write(data.join("file"), text).context(String::new)
        };
        volumes.create(&volume("db"), &fill("first")).unwrap();
        volumes.create(&volume("db"), &fill("second")).unwrap();
        assert_eq!(
            fs::read_to_string(volumes.mountpoint("db").join("file")).unwrap(),
            "first"
        );
        assert_eq!(volumes.list().unwrap(), [volume("db")]);

        let mut user = sample();
        user.mounts.push(MountConfig {
            target: "/x".to_owned(),
            source: MountOrigin::Volume {
                name: "db".to_owned(),
                anonymous: false,
                subpath: None,
            },
            read_only: false,
            no_exec: false,
            recursive: true,
            propagation: Default::default(),
        });
        let refused = volumes
            .remove("db", std::slice::from_ref(&user))
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("remove db: volume is in use - [{}]", user.id)
        );
        volumes.remove("db", &[]).unwrap();
        assert_eq!(
            volumes.remove("db", &[]).unwrap_err().to_string(),
            "get db: no such volume"
        );
        assert!(
            fs::read_dir(root.path().join(DIRECTORY))
                .unwrap()
                .next()
                .is_none()
        );
    }

    #[test]
    fn a_failed_fill_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path()).unwrap();
        assert!(
            volumes
                .create(&volume("db"), &|_| Err(Error::Invalid("no".to_owned())))
                .is_err()
        );
        assert!(
            fs::read_dir(root.path().join(DIRECTORY))
                .unwrap()
                .next()
                .is_none()
        );
    }
}
