//! The directories in `layers/` and `chains/`, with the small file in each that tells when it was made and what it needs.
//!
//! ```text
//! layers/<diff id>/entry.json    {"boot", "at", "needs": ["blob sha256:..."], "body": ...}
//! ```
//!
//! A layer needs the compressed blobs made of it: they stay as long as it does. A chain needs its layers: it goes with the
//! first of them. What else a directory holds is the business of whoever made it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::boot::Stamp;
use crate::store::lease::Held;
use crate::store::temporary::remove_tree;
use crate::{Error, Result, Store};

/// The small file in each directory.
pub(crate) const ENTRY_FILE: &str = "entry.json";

/// What the small file says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntryFile<T> {
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
    pub(crate) needs: Vec<Held>,
    pub(crate) body: T,
}

impl Store {
    /// Where a layer, a chain or content is or would be.
    pub(crate) fn held_path(&self, thing: &Held) -> PathBuf {
        match thing {
            Held::Blob(digest) => self.blob_path(digest),
            Held::Layer(layer) => self.layer_path(layer),
            Held::Chain(chain) => self.chain_path(chain),
        }
    }

    /// Puts a directory that was made in `tmp/` in its place, with its small file. When another process was faster, its
    /// directory stays and `from` is left where it is; whether ours was taken.
    pub(crate) fn put_directory(
        &self,
        thing: Held,
        from: &Path,
        needs: &[Held],
        body: &impl Serialize,
    ) -> Result<bool> {
        let target = self.held_path(&thing);
        let inside = self.enter()?;
        self.hold(&inside, &[thing])?;
        self.hold(&inside, needs)?;
        let file = EntryFile {
            stamp: self.stamp(),
            needs: needs.to_vec(),
            body,
        };
        let bytes = serde_json::to_vec(&file).map_err(|source| Error::Json {
            what: "a layer's entry",
            source,
        })?;
        let path = from.join(ENTRY_FILE);
        fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        match fs::rename(from, &target) {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::io("create", &target)(error)),
        }
    }

    /// Reads what a directory needs and what was stored with it, and holds both; `None` when there is no such directory.
    pub(crate) fn directory<T: DeserializeOwned>(
        &self,
        thing: Held,
    ) -> Result<Option<EntryFile<T>>> {
        let path = self.held_path(&thing).join(ENTRY_FILE);
        let inside = self.enter()?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        match serde_json::from_slice::<EntryFile<T>>(&bytes) {
            Ok(file) => {
                self.hold(&inside, &[thing])?;
                self.hold(&inside, &file.needs)?;
                Ok(Some(file))
            }
            Err(_) => {
                // A damaged entry makes the directory useless: it is taken away and made again.
                self.discard(&thing)?;
                Ok(None)
            }
        }
    }

    /// Replaces what is stored with a directory, such as when a compressed blob was made of a layer. The stamp stays: the
    /// directory is as old as before.
    pub(crate) fn update_directory(
        &self,
        thing: Held,
        needs: &[Held],
        body: &impl Serialize,
    ) -> Result<()> {
        let path = self.held_path(&thing).join(ENTRY_FILE);
        let inside = self.enter()?;
        self.hold(&inside, &[thing])?;
        self.hold(&inside, needs)?;
        let file = EntryFile {
            stamp: self.stamp(),
            needs: needs.to_vec(),
            body,
        };
        self.write_json("a layer's entry", &path, &file)
    }

    /// Takes something away that cannot be used.
    pub(crate) fn discard(&self, thing: &Held) -> Result<()> {
        self.discard_path(&self.held_path(thing))
    }

    /// The same by its path.
    pub(crate) fn discard_path(&self, path: &Path) -> Result<()> {
        if let Some(trash) = self.move_to_trash(path)? {
            // What cannot be deleted now is swept later.
            let _ = remove_tree(&trash);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DiffId, Digest, StoreOptions};

    #[test]
    fn put_read_update_and_damage() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let layer = Held::Layer(DiffId(Digest::sha256(b"layer")));
        let blob = Held::Blob(Digest::sha256(b"blob"));
        assert!(store.directory::<u32>(layer).unwrap().is_none());
        for (expected, body) in [(true, 1_u32), (false, 2)] {
            let temporary = store.temporary_directory("tree").unwrap();
            let making = temporary.path().join("layer");
            fs::create_dir(&making).unwrap();
            assert_eq!(
                store.put_directory(layer, &making, &[], &body).unwrap(),
                expected
            );
        }
        assert_eq!(store.directory::<u32>(layer).unwrap().unwrap().body, 1);
        store.update_directory(layer, &[blob], &3_u32).unwrap();
        let entry = store.directory::<u32>(layer).unwrap().unwrap();
        assert_eq!((entry.body, entry.needs), (3, vec![blob]));
        fs::write(store.held_path(&layer).join(ENTRY_FILE), "{").unwrap();
        assert!(store.directory::<u32>(layer).unwrap().is_none());
        assert!(!store.held_path(&layer).exists());
    }
}
