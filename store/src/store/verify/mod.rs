//! Checking everything that is stored against its name.
//!
//! Content is hashed again. A layer that was made here is written as an archive again, which must have its diff id. A layer
//! that was received is unpacked again from its compressed form and compared file by file; where that form is gone, nothing
//! can be said. Small files must be readable, and images whole. Several threads work at once, the largest things first, so
//! that the disk or the processor is the limit; nobody else is kept waiting.
//!
//! A check changes nothing. [`Store::mend`] removes what is damaged and makes it again from what else is here, or says what
//! has to be fetched.

mod files;
mod layer;
mod repair;

pub use repair::{Remedy, Wanted};

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::layer::Result;
use crate::store::blob::hash_file;
use crate::store::collect::inventory::Inventory;
use crate::store::lease::Held;
use crate::{DiffId, Digest, Error, Hasher, Store};

/// More threads than this only wait for the disk.
const MAX_THREADS: usize = 16;

/// What a check is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyEvent {
    /// There is this much to check.
    Started {
        /// Contents and layers.
        things: usize,
    },
    /// One more is checked.
    Checked {
        /// The bytes it has.
        bytes: u64,
    },
}

/// Something that is not what its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// A small file: a tag, the mark of an image, a pin, a cache record, the entry of a chain. Lost: nothing else holds it.
    File {
        /// Where it is, from the root of the store.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// Content.
    Content {
        /// Its name.
        digest: Digest,
        /// What it hashes to, or why it cannot be read.
        found: String,
    },
    /// A layer's directory.
    Layer {
        /// Its name.
        diff_id: DiffId,
        /// Files in it that differ, as far as can be told; or what its archive hashes to, or why it cannot be read.
        found: String,
    },
    /// An image lacks a layer.
    MissingLayer {
        /// The manifest or index.
        image: Digest,
        /// The layer.
        diff_id: DiffId,
    },
    /// An image lacks its manifest or its configuration.
    MissingContent {
        /// The manifest or index.
        image: Digest,
        /// What is not there.
        digest: Digest,
    },
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Contents hashed.
    pub blobs: usize,
    /// Layers compared with their archives.
    pub layers: usize,
    /// Received layers whose compressed form is gone, so that there is nothing to compare them with.
    pub unchecked_layers: usize,
    /// Small files read.
    pub files: usize,
    /// Bytes hashed.
    pub bytes: u64,
    /// What is wrong, in order.
    pub damage: Vec<Damage>,
}

/// The outcome for one thing.
struct Outcome {
    bytes: u64,
    hashed: bool,
    damage: Option<Damage>,
}

impl Store {
    /// Checks everything and changes nothing.
    pub fn verify(&self, events: &(dyn Fn(VerifyEvent) + Sync)) -> Result<VerifyReport> {
        let mut report = self.verify_files()?;
        let inventory = Inventory::read(self)?;
        let mut things: Vec<Held> = inventory
            .things()
            .filter(|thing| !matches!(thing, Held::Chain(_)))
            .collect();
        // Layers take longest and their size is not known; the largest content comes first.
        things.sort_by_key(|thing| match thing {
            Held::Blob(digest) => std::cmp::Reverse(inventory.blobs.get(digest).copied()),
            _ => std::cmp::Reverse(Some(u64::MAX)),
        });
        events(VerifyEvent::Started {
            things: things.len(),
        });
        let (checked, next) = (Mutex::new(std::mem::take(&mut report)), AtomicUsize::new(0));
        let work = || -> Result<()> {
            while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Some(outcome) = self.check(thing)? else {
                    continue;
                };
                events(VerifyEvent::Checked {
                    bytes: outcome.bytes,
                });
                checked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(thing, outcome);
            }
            Ok(())
        };
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MAX_THREADS);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })?;
        let mut report = checked.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.damage.extend(missing(&inventory));
        report.damage.sort();
        Ok(report)
    }

    /// Where the damage is, from the root of the store.
    #[must_use]
    pub fn place_of(&self, damage: &Damage) -> PathBuf {
        let path = match damage {
            Damage::File { path, .. } => return path.clone(),
            Damage::Content { digest, .. } | Damage::MissingContent { digest, .. } => {
                self.blob_path(digest)
            }
            Damage::Layer { diff_id, .. } | Damage::MissingLayer { diff_id, .. } => {
                self.layer_path(diff_id)
            }
        };
        self.in_store(&path)
    }

    /// Checks one thing; `None` when it has gone since.
    fn check(&self, thing: &Held) -> Result<Option<Outcome>> {
        match thing {
            Held::Blob(digest) => self.check_blob(digest),
            Held::Layer(diff_id) => self.check_layer(*diff_id),
            Held::Chain(_) => Ok(None),
        }
    }

    fn check_blob(&self, digest: &Digest) -> Result<Option<Outcome>> {
        let path = self.blob_path(digest);
        let file = match fs::File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(Error::io("open", &path))?,
        };
        let bytes = file.metadata().map_err(Error::io("examine", &path))?.len();
        // A disk that cannot give the bytes back is damage too.
        let found = match hash_file(file, Hasher::new(digest.algorithm())) {
            Ok(found) if found == *digest => None,
            Ok(found) => Some(format!("it hashes to {found}")),
            Err(error) => Some(error.to_string()),
        };
        let damage = found.map(|found| Damage::Content {
            digest: *digest,
            found,
        });
        Ok(Some(Outcome {
            bytes,
            hashed: true,
            damage,
        }))
    }
}

impl VerifyReport {
    fn add(&mut self, thing: &Held, outcome: Outcome) {
        self.bytes += outcome.bytes;
        match thing {
            Held::Blob(_) => self.blobs += 1,
            _ if outcome.hashed => self.layers += 1,
            _ => self.unchecked_layers += usize::from(outcome.damage.is_none()),
        }
        self.damage.extend(outcome.damage);
    }
}

/// What images name and cannot do without, and the store has not.
fn missing(inventory: &Inventory) -> impl Iterator<Item = Damage> {
    let mut seen = HashSet::new();
    let layers = inventory.images.iter().flat_map(|(image, entry)| {
        entry.things.iter().filter_map(|thing| match thing {
            Held::Layer(diff_id) if !inventory.directories.contains_key(thing) => {
                Some(Damage::MissingLayer {
                    image: *image,
                    diff_id: *diff_id,
                })
            }
            _ => None,
        })
    });
    let documents = inventory.images.iter().flat_map(|(image, entry)| {
        entry.missing.iter().map(|digest| Damage::MissingContent {
            image: *image,
            digest: *digest,
        })
    });
    layers
        .chain(documents)
        .filter(move |damage| seen.insert(damage.clone()))
}
