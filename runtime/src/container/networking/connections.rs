//! The networks that a container is to be connected to: `networks.json`, replaced by rename.
//!
//! Absent until `network connect` or `disconnect` changes what the container was made with.

use std::fs;
use std::io;
use std::path::Path;

use crate::container::config::{Config, NetworkMode};
use crate::container::error::{Context, Error, Result};
use crate::container::state::write_atomically;
use crate::network::{DEFAULT, Wish};

const FILE: &str = "networks.json";

/// The networks of a container, in the order of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connections(pub Vec<Wish>);

impl Connections {
    /// Reads what the container at `directory` is to be connected to.
    pub(crate) fn read(directory: &Path, config: &Config) -> Result<Self> {
        let path = directory.join(FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::original(config)),
            other => {
                let bytes = other.context(|| format!("reading {}", path.display()))?;
                let wishes = serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
                    path: path.display().to_string(),
                    reason: error.to_string(),
                })?;
                Ok(Self(wishes))
            }
        }
    }

    /// What the container was made with.
    fn original(config: &Config) -> Self {
        match config.network {
            NetworkMode::Default => Self(vec![Wish {
                network: DEFAULT.to_owned(),
                ..Wish::default()
            }]),
            NetworkMode::Networks => Self(config.connections.clone()),
            NetworkMode::Private
            | NetworkMode::None
            | NetworkMode::Host
            | NetworkMode::Container => Self::default(),
        }
    }

    /// Replaces them.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let bytes =
            serde_json::to_vec(&self.0).map_err(|error| Error::Invalid(error.to_string()))?;
        write_atomically(&directory.join(FILE), &bytes, false)
    }
}
