//! Everything in the store by name, with what it needs: the graph that a collection walks.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::manifest::MANIFEST_LIMIT;
use crate::store::image::ImageFile;
use crate::store::layout::{entries, file_name, parse_digest_name, stored_blobs};
use crate::store::lease::{Held, LEASE_FILE};
use crate::store::lock::try_exclusive;
use crate::store::origins::{self, Origin};
use crate::store::pin::PinFile;
use crate::store::record::RecordFile;
use crate::store::shelf::{ENTRY_FILE, EntryFile};
use crate::store::tag::TagFile;
use crate::{DiffId, Digest, Error, Reference, Result, Store};

/// A marked or tagged manifest or index.
#[derive(Debug, Clone)]
pub(crate) struct ImageEntry {
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) tags: Vec<Reference>,
    /// All that its documents name, itself included.
    pub(crate) things: Vec<Held>,
    /// Documents among them that are needed and not there.
    pub(crate) missing: Vec<Digest>,
    /// The labels of its configurations.
    pub(crate) labels: BTreeMap<String, String>,
    /// The same for all manifests of one image: the digest of its configuration. Of an index, its own.
    pub(crate) identity: Digest,
}

/// A cache record.
#[derive(Debug, Clone)]
pub(crate) struct RecordEntry {
    pub(crate) path: PathBuf,
    pub(crate) layers: Vec<DiffId>,
    /// When it was last written or found, seconds and nanoseconds since 1970.
    pub(crate) used: (i64, i64),
}

/// A snapshot of the store's names.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) images: BTreeMap<Digest, ImageEntry>,
    pub(crate) pinned: Vec<Held>,
    pub(crate) records: Vec<RecordEntry>,
    /// What is known of where blobs can be fetched again.
    pub(crate) origins: Vec<OriginEntry>,
    /// Small files that say nothing any more.
    pub(crate) damaged: Vec<PathBuf>,
    pub(crate) leased: BTreeSet<Held>,
    /// Layers and chains with what they need; nothing is known of what a damaged one needs.
    pub(crate) directories: BTreeMap<Held, Vec<Held>>,
    /// Content with the bytes that it takes on disk.
    pub(crate) blobs: BTreeMap<Digest, u64>,
}

/// A note on where a blob was seen.
#[derive(Debug, Clone)]
pub(crate) struct OriginEntry {
    pub(crate) path: PathBuf,
    pub(crate) blob: Digest,
}

impl Inventory {
    /// Reads all names. Takes no part in the gate, so that it can be read while that is closed.
    pub(crate) fn read(store: &Store) -> Result<Self> {
        let root = store.root();
        let mut inventory = Self {
            leased: leased(root)?,
            ..Self::default()
        };
        for path in entries(&root.join("refs/images"))? {
            if let Some(file) = inventory.small_file::<ImageFile>(store, &path)? {
                inventory.image(store, file.digest, file.created);
            }
        }
        for path in entries(&root.join("refs/tags"))? {
            if let Some(file) = inventory.small_file::<TagFile>(store, &path)? {
                inventory
                    .image(store, file.digest, file.created)
                    .tags
                    .push(file.name);
            }
        }
        for path in entries(&root.join("refs/pins"))? {
            let file = inventory.small_file::<PinFile>(store, &path)?;
            for thing in file.into_iter().flat_map(|file| file.things) {
                inventory.pinned.push(thing);
                if let Held::Blob(digest) = thing {
                    inventory.pinned.extend(Documents::of(store, digest).things);
                }
            }
        }
        for kind in entries(&root.join("records"))? {
            let is_origins = file_name(&kind) == origins::KIND;
            for path in entries(&kind)? {
                if is_origins {
                    inventory.origin(store, path)?;
                } else {
                    inventory.record(store, path)?;
                }
            }
        }
        for path in entries(&root.join("layers"))? {
            let thing =
                parse_digest_name(file_name(&path)).map(|digest| Held::Layer(digest.into()));
            inventory.directory(&path, thing);
        }
        for path in entries(&root.join("chains"))? {
            let thing =
                parse_digest_name(file_name(&path)).map(|digest| Held::Chain(digest.into()));
            inventory.directory(&path, thing);
        }
        for (digest, path) in stored_blobs(root)? {
            if let Ok(metadata) = fs::metadata(&path) {
                inventory.blobs.insert(digest, metadata.blocks() * 512);
            }
        }
        Ok(inventory)
    }

    fn image(&mut self, store: &Store, digest: Digest, created: u64) -> &mut ImageEntry {
        self.images.entry(digest).or_insert_with(|| {
            let documents = Documents::of(store, digest);
            ImageEntry {
                created,
                tags: Vec::new(),
                things: documents.things,
                missing: documents.missing,
                labels: documents.labels,
                identity: documents.config.unwrap_or(digest),
            }
        })
    }

    /// Reads a small file; one that says nothing is noted.
    fn small_file<T: DeserializeOwned>(&mut self, store: &Store, path: &Path) -> Result<Option<T>> {
        let file = store.read_json::<T>(path)?;
        if file.is_none() && path.exists() {
            self.damaged.push(path.to_owned());
        }
        Ok(file)
    }

    fn record(&mut self, store: &Store, path: PathBuf) -> Result<()> {
        let Ok(metadata) = fs::metadata(&path) else {
            return Ok(());
        };
        let file = self.small_file::<RecordFile<IgnoredAny>>(store, &path)?;
        let used = (metadata.mtime(), metadata.mtime_nsec());
        self.records.extend(file.map(|file| RecordEntry {
            path,
            layers: file.layers,
            used,
        }));
        Ok(())
    }

    fn origin(&mut self, store: &Store, path: PathBuf) -> Result<()> {
        let file = self.small_file::<RecordFile<Origin>>(store, &path)?;
        self.origins.extend(file.map(|file| OriginEntry {
            path,
            blob: file.body.blob,
        }));
        Ok(())
    }

    fn directory(&mut self, path: &Path, thing: Option<Held>) {
        let Some(thing) = thing else { return };
        let read = || {
            serde_json::from_slice::<EntryFile<IgnoredAny>>(&fs::read(path.join(ENTRY_FILE)).ok()?)
                .ok()
        };
        self.directories
            .insert(thing, read().map(|file| file.needs).unwrap_or_default());
    }

    /// What is reached from these images and records, from pins and from leases.
    pub(crate) fn reached<'a>(
        &'a self,
        images: impl Iterator<Item = &'a ImageEntry>,
        records: impl Iterator<Item = &'a RecordEntry>,
    ) -> HashSet<Held> {
        let mut reached: HashSet<Held> = self.pinned.iter().chain(&self.leased).copied().collect();
        reached.extend(images.flat_map(|image| &image.things));
        reached.extend(
            records
                .flat_map(|record| &record.layers)
                .map(|layer| Held::Layer(*layer)),
        );
        for (thing, needs) in &self.directories {
            if matches!(thing, Held::Layer(_)) && reached.contains(thing) {
                reached.extend(needs);
            }
        }
        self.reach_chains(&mut reached);
        reached
    }

    /// Adds the chains of which all that they need stays: layers, and the merged directory of a deep stack, which is a chain
    /// itself.
    pub(crate) fn reach_chains(&self, reached: &mut HashSet<Held>) {
        loop {
            let kept =
                |needed: &Held| reached.contains(needed) && self.directories.contains_key(needed);
            let chains = self.directories.iter().filter(|(thing, needs)| {
                matches!(thing, Held::Chain(_))
                    && !reached.contains(*thing)
                    && !needs.is_empty()
                    && needs.iter().all(kept)
            });
            let chains: Vec<Held> = chains.map(|(thing, _)| *thing).collect();
            if chains.is_empty() {
                return;
            }
            reached.extend(chains);
        }
    }

    /// Notes on blobs that are gone, and so are the layers made of them.
    pub(crate) fn idle_origins(&self, stays: impl Fn(&Held) -> bool) -> Vec<&OriginEntry> {
        let needed: HashSet<&Held> = self
            .directories
            .iter()
            .filter(|(thing, _)| stays(thing))
            .flat_map(|(_, needs)| needs)
            .collect();
        let is_idle = |entry: &&OriginEntry| {
            let blob = Held::Blob(entry.blob);
            let is_here = self.blobs.contains_key(&entry.blob) && stays(&blob);
            !is_here && !needed.contains(&blob)
        };
        self.origins.iter().filter(is_idle).collect()
    }

    /// Everything that is there and could be collected.
    pub(crate) fn things(&self) -> impl Iterator<Item = Held> {
        self.directories
            .keys()
            .copied()
            .chain(self.blobs.keys().map(|digest| Held::Blob(*digest)))
    }
}

/// What live processes hold.
fn leased(root: &Path) -> Result<BTreeSet<Held>> {
    let mut leased = BTreeSet::new();
    for path in entries(&root.join("tmp"))? {
        let Ok(text) = fs::read_to_string(path.join(LEASE_FILE)) else {
            continue;
        };
        let Ok(directory) = fs::File::open(&path) else {
            continue;
        };
        if !try_exclusive(&directory).map_err(Error::io("lock", &path))? {
            leased.extend(text.lines().filter_map(Held::parse));
        }
    }
    Ok(leased)
}

/// All that a manifest or an index names.
#[derive(Debug, Default)]
struct Documents {
    things: Vec<Held>,
    /// Needed and not there. Images of other platforms in an index need not be.
    missing: Vec<Digest>,
    labels: BTreeMap<String, String>,
    /// The configuration of a manifest; none of an index.
    config: Option<Digest>,
}

/// The fields of manifests, indexes and configurations that name something.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    manifests: Option<Vec<Pointer>>,
    config: Option<Config>,
    layers: Option<Vec<Pointer>>,
    rootfs: Option<RootFs>,
}

#[derive(Debug, Deserialize)]
struct Pointer {
    digest: Digest,
}

/// In a manifest a pointer, in a configuration the settings of containers.
#[derive(Debug, Deserialize)]
struct Config {
    digest: Option<Digest>,
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<DiffId>>,
}

impl Documents {
    fn of(store: &Store, digest: Digest) -> Self {
        let mut documents = Self::default();
        let mut seen = HashSet::new();
        let root = digest;
        let mut next = vec![(root, true)];
        while let Some((digest, is_needed)) = next.pop() {
            if !seen.insert(digest) {
                continue;
            }
            documents.things.push(Held::Blob(digest));
            let Some(document) = read_document(store, &digest) else {
                if is_needed && !store.blob_path(&digest).exists() {
                    documents.missing.push(digest);
                }
                continue;
            };
            let manifests = document.manifests.into_iter().flatten();
            next.extend(manifests.map(|pointer| (pointer.digest, false)));
            if let Some(config) = document.config {
                if digest == root {
                    documents.config = config.digest;
                }
                next.extend(config.digest.map(|digest| (digest, true)));
                documents.labels.extend(config.labels.into_iter().flatten());
            }
            let layers = document.layers.into_iter().flatten();
            documents
                .things
                .extend(layers.map(|layer| Held::Blob(layer.digest)));
            let diff_ids = document
                .rootfs
                .and_then(|rootfs| rootfs.diff_ids)
                .unwrap_or_default();
            documents
                .things
                .extend(diff_ids.into_iter().map(Held::Layer));
        }
        documents
    }
}

/// Reads a document as it is, unverified: a damaged one names at worst less than it should, and is unusable anyhow.
fn read_document(store: &Store, digest: &Digest) -> Option<Document> {
    let path = store.blob_path(digest);
    if fs::metadata(&path).ok()?.len() > MANIFEST_LIMIT {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
