//! A cache that travels: records and layers of steps as an image in a registry or a layout directory.
//!
//! ```text
//! manifest    artifactType application/vnd.kiln.cache.v1
//!   config    application/vnd.kiln.cache.config.v1+json: records by kind and key, which layer is which blob
//!   layers    blobs of layers, each once
//! ```
//!
//! An image may carry the same document in its own configuration (`type=inline`); its layers are the image's then.
//!
//! Imported records are kept in memory, beside the store's: they serve the build that names their source and no other. A layer is
//! fetched when the build is known to need it, and verified like any other.

mod export;
mod import;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_registry::{Access, Layout, ManifestName, Repository};
use kiln_store::{CacheKey, Descriptor, DiffId, Reference};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::records::StepResult;
use crate::registry_images::ClientProvider;

pub use export::{CacheMode, export_cache};
pub(crate) use export::{CachedStep, inline_document};
pub(crate) use import::fetch_ahead;

/// The kind of artifact that a cache is.
const ARTIFACT: &str = "application/vnd.kiln.cache.v1";
/// The media type of its records.
const CONFIG: &str = "application/vnd.kiln.cache.config.v1+json";
/// Where an image carries its own cache.
pub(crate) const INLINE: &str = "dev.kiln.cache.v1";
/// Written to documents; others are not read.
const VERSION: u32 = 1;

/// A place that holds a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheLocation {
    /// A repository of a registry, with a tag.
    Registry(Reference),
    /// An image layout directory, and the tag in it.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The tag.
        tag: String,
    },
}

impl std::fmt::Display for CacheLocation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(formatter),
            Self::Directory { path, tag } => write!(formatter, "{}:{tag}", path.display()),
        }
    }
}

/// A location that was opened.
#[derive(Clone)]
struct Opened {
    repository: Arc<dyn Repository>,
    name: ManifestName,
    runtime: Handle,
}

impl CacheLocation {
    fn open(&self, client: Option<&ClientProvider>, access: Access) -> Result<Opened, String> {
        let client = client.ok_or("there is no way to reach it")?;
        let (client, runtime) = client()?;
        match self {
            Self::Registry(reference) => {
                let reference = reference.clone().with_default_tag();
                let name = match (reference.tag(), reference.digest()) {
                    (_, Some(digest)) => ManifestName::Digest(*digest),
                    (Some(tag), None) => ManifestName::Tag(tag.to_owned()),
                    (None, None) => ManifestName::Tag("latest".to_owned()),
                };
                Ok(Opened {
                    repository: Arc::new(client.repository(&reference, access)),
                    name,
                    runtime,
                })
            }
            Self::Directory { path, tag } => {
                let layout = match access {
                    Access::Pull => Layout::open(path),
                    _ => Layout::create(path),
                };
                Ok(Opened {
                    repository: Arc::new(layout.map_err(|error| error.to_string())?),
                    name: ManifestName::Tag(tag.clone()),
                    runtime,
                })
            }
        }
    }
}

/// The records of a cache.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    version: u32,
    records: Vec<DocumentRecord>,
    /// Operations of which some content key has a result.
    operations: BTreeSet<String>,
    /// The layer of each blob of the manifest, in its order; empty in an image, which says so itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<DiffId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DocumentRecord {
    kind: String,
    key: String,
    result: StepResult,
}

/// Everything that was imported for one build.
#[derive(Default)]
pub(crate) struct Imported {
    results: HashMap<(String, String), StepResult>,
    operations: BTreeSet<String>,
    blobs: BTreeMap<DiffId, (usize, Descriptor)>,
    sources: Vec<Opened>,
    /// Layers that could not be fetched: their results are of no use to this build.
    lost: Mutex<BTreeSet<DiffId>>,
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Imported")
            .field("results", &self.results.len())
            .field("layers", &self.blobs.len())
            .finish_non_exhaustive()
    }
}

impl Imported {
    /// Whether there is anything at all.
    pub(crate) fn holds_anything(&self) -> bool {
        !self.results.is_empty()
    }

    /// The result under a content key.
    pub(crate) fn by_content(&self, key: &CacheKey) -> Option<StepResult> {
        self.find(super::records::CONTENT, key)
    }

    /// The result under a key.
    pub(crate) fn find(&self, kind: &str, key: &CacheKey) -> Option<StepResult> {
        if self.results.is_empty() {
            return None;
        }
        let found = self.results.get(&(kind.to_owned(), key.to_string()))?;
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        (!lost.contains(&found.layer)).then(|| found.clone())
    }

    /// Whether some result of this operation was imported.
    pub(crate) fn knows_operation(&self, key: &CacheKey) -> bool {
        !self.operations.is_empty() && self.operations.contains(&key.to_string())
    }
}
