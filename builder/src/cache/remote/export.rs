//! Writing caches: the layers of a build's steps with every record that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kiln_registry::{Access, BlobUpload, BytesBlob, Resolved, StoredBlob};
use kiln_store::{
    CacheKey, Compression, Descriptor, DiffId, Digest, Manifest, ManifestKind, Store, media_type,
};

use super::{ARTIFACT, CONFIG, CacheLocation, Document, DocumentRecord, Opened, VERSION};
use crate::built::Built;
use crate::cache::records::{CONTENT, DEFINITION, StepResult};
use crate::error::BuildError;
use crate::host::Host;

/// How many blobs are sent at once.
const AT_ONCE: usize = 4;

/// What of a build goes into its cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// The steps whose layers are in the result.
    #[default]
    Min,
    /// All steps.
    Max,
}

/// One step of a build with its result and the keys that the build knew.
#[derive(Debug, Clone)]
pub(crate) struct CachedStep {
    pub(crate) definition: CacheKey,
    pub(crate) operation: CacheKey,
    pub(crate) result: StepResult,
}

/// Writes the cache of a build to a location. Returns how many layers it holds.
pub fn export_cache(
    host: &Host,
    built: &Built,
    location: &CacheLocation,
    mode: CacheMode,
    compression: Compression,
) -> Result<usize, BuildError> {
    let failed = |error: &dyn std::fmt::Display| {
        BuildError::host(format!("cannot export the cache to {location}"), error)
    };
    let steps = chosen(built, mode);
    let opened = location
        .open(host.remote.client.as_ref(), Access::Push)
        .map_err(|error| failed(&error))?;
    let mut document = document(&host.store, &steps)?;
    let layers: BTreeSet<DiffId> = steps.iter().map(|step| step.result.layer).collect();
    let mut blobs = Vec::new();
    for layer in &layers {
        let blob = host
            .store
            .layer_blob(layer, compression)
            .map_err(|error| failed(&error))?;
        document.layers.push(*layer);
        blobs.push(blob);
    }
    send(&opened, &host.store, &document, blobs).map_err(|error| failed(&error))?;
    Ok(layers.len())
}

/// The document that an image carries about its own layers.
pub(crate) fn inline_document(
    store: &Store,
    steps: &[CachedStep],
    layers: &[DiffId],
) -> Result<serde_json::Value, BuildError> {
    let own: Vec<&CachedStep> = steps
        .iter()
        .filter(|step| layers.contains(&step.result.layer))
        .collect();
    serde_json::to_value(document(store, &own)?)
        .map_err(|error| BuildError::host("cannot write the inline cache", error))
}

fn chosen(built: &Built, mode: CacheMode) -> Vec<&CachedStep> {
    let in_result = |step: &&CachedStep| {
        built
            .targets
            .iter()
            .any(|target| target.config.diff_ids().contains(&step.result.layer))
    };
    let steps = built.cached_steps.iter();
    match mode {
        CacheMode::Max => steps.collect(),
        CacheMode::Min => steps.filter(in_result).collect(),
    }
}

/// The records of these steps: those of this build, and every content key under which the store knows the same layers.
fn document(store: &Store, steps: &[&CachedStep]) -> Result<Document, BuildError> {
    let mut records: BTreeMap<(String, String), StepResult> = BTreeMap::new();
    let mut layers = BTreeSet::new();
    for step in steps {
        let key = (DEFINITION.to_owned(), step.definition.to_string());
        records.insert(key, step.result.clone());
        layers.insert(step.result.layer);
    }
    let known = store
        .records::<StepResult>(CONTENT)
        .map_err(|error| BuildError::host("cannot read the build cache", error))?;
    for record in known {
        if layers.contains(&record.body.layer) {
            records.insert((CONTENT.to_owned(), record.key.to_string()), record.body);
        }
    }
    Ok(Document {
        version: VERSION,
        records: records
            .into_iter()
            .map(|((kind, key), result)| DocumentRecord { kind, key, result })
            .collect(),
        operations: steps
            .iter()
            .map(|step| step.operation.to_string())
            .collect(),
        layers: Vec::new(),
    })
}

fn send(
    opened: &Opened,
    store: &Store,
    document: &Document,
    blobs: Vec<Descriptor>,
) -> Result<(), String> {
    let config = Bytes::from(serde_json::to_vec(document).map_err(|error| error.to_string())?);
    let descriptor = Descriptor::new(CONFIG, Digest::sha256(&config), config.len() as u64);
    let mut manifest = Manifest::new(ManifestKind::Oci, descriptor.clone(), blobs.clone());
    manifest.artifact_type = Some(ARTIFACT.to_owned());
    let bytes = Bytes::from(manifest.to_bytes().map_err(|error| error.to_string())?);
    let resolved = Resolved {
        descriptor: Descriptor::new(
            media_type::OCI_MANIFEST,
            Digest::sha256(&bytes),
            bytes.len() as u64,
        ),
        bytes,
    };
    let mut uploads = vec![BlobUpload {
        descriptor,
        source: Arc::new(BytesBlob(config)),
        origins: Vec::new(),
    }];
    uploads.extend(blobs.into_iter().map(|blob| BlobUpload {
        source: Arc::new(StoredBlob {
            store: store.clone(),
            digest: blob.digest,
            size: blob.size,
        }),
        descriptor: blob,
        origins: Vec::new(),
    }));
    let repository = &opened.repository;
    let sending = async {
        stream::iter(&uploads)
            .map(|upload| repository.put_blob(upload))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        repository.put_manifest(&opened.name, &resolved).await
    };
    opened
        .runtime
        .block_on(sending)
        .map_err(|error| error.to_string())
}
