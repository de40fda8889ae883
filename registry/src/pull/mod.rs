//! Pull: an image from a repository into the store, verified and unpacked on the way.
//!
//! ```text
//! manifest or index -> manifest of the platform -> configuration (its diff ids)
//!                                               \-> layers, all at once: socket -> digest -> inflate -> diff id -> unpack
//! ```
//!
//! What the store has is not asked for again. A layer whose blob is not here is asked for at once, while the configuration is still under way; one
//! whose blob is here waits for the configuration, which tells whether it is unpacked too. Nothing is recorded or named before all of it is there.

mod document;
mod layer;
mod refetch;
mod split;
mod stream;

pub use refetch::refetch;
pub(crate) use stream::{Pipe, pump};

use futures_util::stream::{FuturesUnordered, TryStreamExt};
use kiln_store::{
    Descriptor, DiffId, Digest, Image, ImageConfig, MANIFEST_LIMIT, Manifest, Platform, Reference,
    Store, media_type,
};
use tokio::sync::watch;

use crate::client::{Client, name_of};
use crate::content::{ManifestName, Repository};
use crate::error::{Error, Result};
use crate::event::{BlobOutcome, Event, Events};
use crate::origins;
use crate::remote::Access;
use crate::source::blocking;
use crate::transport::Traffic;

use document::fetch;
use layer::{Fate, LayerTask, Shown};

/// Choices of a pull.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Names that the image gets besides the reference's own.
    pub tags: Vec<Reference>,
    /// True to store the image without giving it the reference's name.
    pub untagged: bool,
}

/// A pulled image and what it cost.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image for the platform.
    pub image: Image,
    /// What the reference named: the digest of the index, or of the manifest.
    pub digest: Digest,
    /// Requests and bytes.
    pub traffic: Traffic,
    /// Layers fetched.
    pub layers_fetched: usize,
    /// Layers that were there.
    pub layers_skipped: usize,
}

/// A small blob in memory, verified; one that is larger than `limit` is refused.
pub async fn small_blob(
    repository: &dyn Repository,
    blob: &Descriptor,
    limit: u64,
) -> Result<Vec<u8>> {
    stream::fetch_small(repository, blob, limit).await
}

/// Pulls an image for a platform into the store, verified and unpacked. It is recorded, and named, only when all of it is there.
pub async fn pull(
    client: &Client,
    store: &Store,
    reference: &Reference,
    platform: &Platform,
    options: &PullOptions,
    events: Events<'_>,
) -> Result<Pulled> {
    let repository = client.repository(reference, Access::Pull);
    let mut tags = options.tags.clone();
    if !options.untagged {
        tags.insert(0, reference.clone().with_default_tag());
    }
    let pulled = pull_from(
        &repository,
        &name_of(reference),
        store,
        platform,
        &tags,
        events,
    )
    .await?;
    let (store, layers) = (store.clone(), pulled.image.manifest.layers.clone());
    let origin = reference.repository();
    let documents = [pulled.digest, pulled.image.manifest_digest];
    blocking("the record of origins", move || {
        store.note_origin(documents, &origin)?;
        origins::remember(&store, &layers, &origin)
    })
    .await?;
    Ok(pulled)
}

/// Pulls from any repository, such as an image layout (`kiln load`), and gives the image these names.
pub async fn pull_from(
    repository: &dyn Repository,
    name: &ManifestName,
    store: &Store,
    platform: &Platform,
    tags: &[Reference],
    events: Events<'_>,
) -> Result<Pulled> {
    let documents = fetch(repository, name, store, platform, tags.first()).await?;
    events(Event::Resolved {
        reference: format!("{}:{name}", repository.name()),
        digest: documents.root_digest(),
    });
    let manifest = &documents.manifest;
    check_is_image(repository, manifest)?;
    events(Event::Planned {
        blobs: manifest.layers.len() + 1,
        bytes: manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>(),
    });

    let (announce, config) = watch::channel(None);
    let fetch_config = async {
        let bytes = fetch_config(repository, manifest, store, events).await?;
        let config = parse_config(manifest, &bytes)?;
        announce.send_replace(Some(config.diff_ids().to_vec()));
        Ok::<_, Error>(bytes)
    };
    let tasks: FuturesUnordered<_> = tasks(repository, manifest, store, config, events)
        .into_iter()
        .map(LayerTask::run)
        .collect();
    let (config_bytes, fates) = tokio::try_join!(fetch_config, tasks.try_collect::<Vec<Fate>>())?;

    let (recorder, names, chosen) = (store.clone(), tags.to_vec(), platform.clone());
    let digest = documents.root_digest();
    let image = blocking("the record of the image", move || {
        keep(&recorder, &documents.manifest.config.digest, &config_bytes)?;
        documents.keep(&recorder)?;
        let image = recorder.image_for(&digest, &chosen)?;
        recorder.add_image(&digest)?;
        for name in &names {
            recorder.tag(name, &digest)?;
        }
        Ok(image)
    })
    .await?;
    let layers_fetched = fates.iter().filter(|fate| **fate == Fate::Fetched).count();
    Ok(Pulled {
        image,
        digest,
        traffic: repository.traffic(),
        layers_fetched,
        layers_skipped: fates.len() - layers_fetched,
    })
}

/// One task for each different layer, the largest first, so that it is not the last one running.
fn tasks<'a>(
    repository: &'a dyn Repository,
    manifest: &'a Manifest,
    store: &'a Store,
    config: watch::Receiver<Option<Vec<DiffId>>>,
    events: Events<'a>,
) -> Vec<LayerTask<'a>> {
    let mut tasks: Vec<LayerTask<'a>> = Vec::new();
    for (position, blob) in manifest.layers.iter().enumerate() {
        if !tasks.iter().any(|task| task.blob.digest == blob.digest) {
            tasks.push(LayerTask {
                repository,
                store,
                blob,
                position,
                config: config.clone(),
                events: Shown(events),
            });
        }
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.blob.size));
    tasks
}

fn check_is_image(repository: &dyn Repository, manifest: &Manifest) -> Result<()> {
    if !media_type::is_image_config(&manifest.config.media_type) {
        let kind = manifest
            .artifact_type
            .as_deref()
            .unwrap_or(&manifest.config.media_type);
        return Err(Error::protocol(
            repository.name(),
            format!("this is no container image but an artifact of the type `{kind}`"),
        ));
    }
    for layer in &manifest.layers {
        if media_type::layer_compression(&layer.media_type).is_none() {
            return Err(Error::protocol(
                repository.name(),
                format!(
                    "layer {} has the type `{}`, which kiln cannot unpack",
                    layer.digest, layer.media_type
                ),
            ));
        }
    }
    Ok(())
}

fn parse_config(manifest: &Manifest, bytes: &[u8]) -> Result<ImageConfig> {
    let digest = &manifest.config.digest;
    let config: ImageConfig = serde_json::from_slice(bytes).map_err(|error| {
        Error::protocol(
            format!("configuration {digest}"),
            format!("it is not valid: {error}"),
        )
    })?;
    if config.diff_ids().len() != manifest.layers.len() {
        let problem = format!(
            "it names {} layers, the manifest {}",
            config.diff_ids().len(),
            manifest.layers.len()
        );
        return Err(Error::protocol(format!("configuration {digest}"), problem));
    }
    Ok(config)
}

/// The bytes of the configuration, from the store or the repository, verified.
async fn fetch_config(
    repository: &dyn Repository,
    manifest: &Manifest,
    store: &Store,
    events: Events<'_>,
) -> Result<Vec<u8>> {
    let descriptor = &manifest.config;
    if let Some(bytes) = stored(store, &descriptor.digest).await? {
        events(Event::BlobDone {
            digest: descriptor.digest,
            outcome: BlobOutcome::Present,
        });
        return Ok(bytes);
    }
    events(Event::BlobStarted {
        digest: descriptor.digest,
        size: descriptor.size,
    });
    let bytes = stream::fetch_small(repository, descriptor, MANIFEST_LIMIT).await?;
    events(Event::BlobDone {
        digest: descriptor.digest,
        outcome: BlobOutcome::Transferred,
    });
    Ok(bytes)
}

/// A document of the store, if it is there. One that was damaged has been removed and is fetched again.
async fn stored(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>> {
    let (store, digest) = (store.clone(), *digest);
    blocking("reading the store", move || {
        match store.read_blob(&digest, MANIFEST_LIMIT) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(kiln_store::Error::BlobNotFound { .. } | kiln_store::Error::BlobCorrupt { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// Puts bytes into the store under their digest, whatever its algorithm.
fn keep(store: &Store, digest: &Digest, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    if store.hold_blob(digest)? == Some(bytes.len() as u64) {
        return Ok(());
    }
    let mut writer = store.blob_writer()?;
    writer.write_all(bytes).map_err(|source| Error::Io {
        path: format!("blob {digest}"),
        source,
    })?;
    writer.finish(Some(digest))?;
    Ok(())
}

/// No more may come than was announced.
fn check_room(descriptor: &Descriptor, received: u64) -> Result<()> {
    if received <= descriptor.size {
        return Ok(());
    }
    Err(Error::Corrupt {
        what: format!("blob {}", descriptor.digest),
        expected: format!("{} bytes", descriptor.size),
        actual: "more".to_owned(),
    })
}

/// The size that a descriptor announces must be what came.
fn check_size(what: &str, descriptor: &Descriptor, actual: u64) -> Result<()> {
    if descriptor.size == actual {
        return Ok(());
    }
    Err(Error::Corrupt {
        what: format!("{what} {}", descriptor.digest),
        expected: format!("{} bytes", descriptor.size),
        actual: format!("{actual}"),
    })
}
