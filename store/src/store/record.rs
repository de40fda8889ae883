//! Cache records: small facts under a key, with the layers that they need.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::boot::Stamp;
use crate::store::layout::ensure_directory;
use crate::store::lease::Held;
use crate::store::lock::check_name;
use crate::store::tag::now;
use crate::{CacheKey, DiffId, Error, Result, Store};

/// A record, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<T> {
    /// The key that it was found under.
    pub key: CacheKey,
    /// The layers that it needs; all of them are in the store and held.
    pub layers: Vec<DiffId>,
    /// When it was written, seconds since 1970.
    pub created: u64,
    /// What the caller stored.
    pub body: T,
}

/// The file of a record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordFile<T> {
    pub(crate) layers: Vec<DiffId>,
    pub(crate) created: u64,
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
    pub(crate) body: T,
}

impl Store {
    /// Writes a record, in place of one with the same kind and key. The collector keeps its layers as long as the record.
    pub fn put_record(
        &self,
        kind: &str,
        key: &CacheKey,
        layers: &[DiffId],
        body: &impl Serialize,
    ) -> Result<()> {
        let path = self.record_path(kind, key)?;
        let inside = self.enter()?;
        let things: Vec<Held> = layers.iter().map(|layer| Held::Layer(*layer)).collect();
        self.hold(&inside, &things)?;
        let file = RecordFile {
            layers: layers.to_vec(),
            created: now(),
            stamp: self.stamp(),
            body,
        };
        match self.write_json("a cache record", &path, &file) {
            Err(error) if error.io_kind() == Some(ErrorKind::NotFound) => {
                ensure_directory(&self.root().join("records").join(kind))?;
                self.write_json("a cache record", &path, &file)?;
            }
            done => done?,
        }
        drop(inside);
        Ok(())
    }

    /// Looks a record up. One whose layers are gone, or that cannot be read as `T`, counts as none.
    pub fn record<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &CacheKey,
    ) -> Result<Option<Record<T>>> {
        let path = self.record_path(kind, key)?;
        let inside = self.enter()?;
        let Some(file) = self.read_json::<RecordFile<T>>(&path)? else {
            return Ok(None);
        };
        touch(&path);
        let things: Vec<Held> = file
            .layers
            .iter()
            .map(|layer| Held::Layer(*layer))
            .collect();
        self.hold(&inside, &things)?;
        for layer in &file.layers {
            if !self.layer_path(layer).exists() {
                return Ok(None);
            }
        }
        Ok(Some(Record {
            key: *key,
            layers: file.layers,
            created: file.created,
            body: file.body,
        }))
    }

    /// All records of a kind whose layers are here, in no order.
    pub fn records<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<Record<T>>> {
        let mut records = Vec::new();
        for key in self.record_keys(kind)? {
            records.extend(self.record(kind, &key)?);
        }
        Ok(records)
    }

    /// Forgets a record; whether there was one.
    pub fn remove_record(&self, kind: &str, key: &CacheKey) -> Result<bool> {
        let path = self.record_path(kind, key)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", &path)(error)),
        }
    }

    fn record_keys(&self, kind: &str) -> Result<Vec<CacheKey>> {
        check_name(kind)?;
        let directory = self.root().join("records").join(kind);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("list", &directory))?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io("list", &directory))?.file_name();
            keys.extend(name.to_str().and_then(|name| CacheKey::from_str(name).ok()));
        }
        Ok(keys)
    }

    fn record_path(&self, kind: &str, key: &CacheKey) -> Result<PathBuf> {
        check_name(kind)?;
        Ok(self.root().join("records").join(kind).join(key.to_string()))
    }
}

/// The time of a record's file is when it was last of use; prune goes by it. Where it cannot be set, on a read-only store,
/// nothing is pruned either.
fn touch(path: &Path) {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: now,
    };
    let _ = utimensat(CWD, path, &times, AtFlags::empty());
}
