//! Pins: what something outside of images and records needs, such as a stopped container or a served repository.

use serde::{Deserialize, Serialize};

use crate::store::layout::entries;
use crate::store::lease::Held;
use crate::store::lock::check_name;
use crate::store::tag::{now, remove_if_there};
use crate::{DiffId, Digest, Result, Store};

/// The file of a pin.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PinFile {
    pub(crate) name: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) things: Vec<Held>,
}

impl Store {
    /// Keeps manifests (with all that they name) and layers until the pin of this name is removed, in place of what it kept
    /// before. Pins outlive processes and boots; whoever makes one removes it.
    pub fn pin(&self, name: &str, manifests: &[Digest], layers: &[DiffId]) -> Result<()> {
        check_name(name)?;
        let blobs = manifests.iter().map(|digest| Held::Blob(*digest));
        let things: Vec<Held> = blobs
            .chain(layers.iter().map(|layer| Held::Layer(*layer)))
            .collect();
        let inside = self.enter()?;
        self.hold(&inside, &things)?;
        let file = PinFile {
            name: name.to_owned(),
            created: now(),
            things,
        };
        self.write_json("a pin", &pin_path(self.root(), name), &file)
    }

    /// Gives free what a pin kept. One that does not exist is fine.
    pub fn unpin(&self, name: &str) -> Result<()> {
        Self::unpin_at(self.root(), name)
    }

    /// The same for a process that has not opened the store, such as a container's monitor.
    pub fn unpin_at(root: &std::path::Path, name: &str) -> Result<()> {
        check_name(name)?;
        remove_if_there(&pin_path(root, name))
    }

    /// The names of all pins, in order.
    pub fn pins(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for path in entries(&self.root().join("refs/pins"))? {
            names.extend(self.read_json::<PinFile>(&path)?.map(|file| file.name));
        }
        names.sort();
        Ok(names)
    }
}

fn pin_path(root: &std::path::Path, name: &str) -> std::path::PathBuf {
    root.join("refs/pins").join(name)
}
