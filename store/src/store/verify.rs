//! Checking everything that is stored against its name.
//!
//! Content is hashed again. A layer that was made here is written as an archive again, which must have its diff id. A layer
//! that was received cannot be: its files are not a function of its archive alone; its content is checked where it is kept.
//! Several threads work at once, so that the disk or the processor is the limit, and nobody else is kept waiting.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::layer::Origin;
use crate::store::blob::hash_file;
use crate::store::collect::inventory::Inventory;
use crate::store::lease::Held;
use crate::{DiffId, Digest, Error, Hasher, Result, Store};

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
        /// What its archive hashes to, or why it cannot be read.
        found: String,
    },
    /// An image lacks a layer.
    Missing {
        /// The manifest or index.
        image: Digest,
        /// The layer.
        diff_id: DiffId,
    },
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Contents hashed.
    pub blobs: usize,
    /// Layers hashed.
    pub layers: usize,
    /// Layers that were received, whose files can be checked against nothing.
    pub received_layers: usize,
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
    /// Checks all content and layers. With `repair`, what is damaged is removed, so that pulling or building its image again
    /// makes it whole.
    pub fn verify(
        &self,
        repair: bool,
        events: &(dyn Fn(VerifyEvent) + Sync),
    ) -> Result<VerifyReport> {
        let inventory = Inventory::read(self)?;
        let things: Vec<Held> = inventory
            .things()
            .filter(|thing| !matches!(thing, Held::Chain(_)))
            .collect();
        events(VerifyEvent::Started {
            things: things.len(),
        });
        let report = Mutex::new(VerifyReport::default());
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Some(outcome) = self.check(thing)? else {
                    continue;
                };
                events(VerifyEvent::Checked {
                    bytes: outcome.bytes,
                });
                if repair && outcome.damage.is_some() {
                    self.discard(thing)?;
                }
                report
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
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.damage.extend(missing_layers(&inventory));
        report.damage.sort();
        Ok(report)
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
            Ok(found) => Some(found.to_string()),
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

    fn check_layer(&self, diff_id: DiffId) -> Result<Option<Outcome>> {
        if !self.layer_path(&diff_id).exists() {
            return Ok(None);
        }
        let damage = |found: String| Some(Damage::Layer { diff_id, found });
        let Ok(Some(record)) = self.layer(&diff_id) else {
            let damage = damage("its entry cannot be read".to_owned());
            return Ok(Some(Outcome {
                bytes: 0,
                hashed: false,
                damage,
            }));
        };
        let bytes = record.tar_size;
        if record.origin == Origin::Received {
            return Ok(Some(Outcome {
                bytes: 0,
                hashed: false,
                damage: None,
            }));
        }
        let damage = match self.archive(&record, None) {
            Ok(written) if written.tar == diff_id.0 => None,
            Ok(written) => damage(written.tar.to_string()),
            Err(error) => damage(error.to_string()),
        };
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
            _ => self.received_layers += usize::from(outcome.damage.is_none()),
        }
        self.damage.extend(outcome.damage);
    }
}

/// Layers that images name and the store has not.
fn missing_layers(inventory: &Inventory) -> impl Iterator<Item = Damage> {
    let mut seen = HashSet::new();
    inventory
        .images
        .iter()
        .flat_map(|(image, entry)| entry.things.iter().map(move |thing| (*image, *thing)))
        .filter(|(_, thing)| !inventory.directories.contains_key(thing))
        .filter_map(|(image, thing)| match thing {
            Held::Layer(diff_id) => Some(Damage::Missing { image, diff_id }),
            _ => None,
        })
        .filter(move |damage| seen.insert(damage.clone()))
}
