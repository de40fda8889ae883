//! What belongs to a push: the documents and the images in them.

use bytes::Bytes;
use kiln_store::{
    Descriptor, DiffId, Digest, ImageConfig, Index, MANIFEST_LIMIT, Manifest, Store, media_type,
};

use crate::content::Resolved;
use crate::copy::Platforms;
use crate::error::{Error, Result};
use crate::held::{self, Choice, parse, read_document};
use crate::layers;
use crate::source::blocking;

/// The documents of a push, in the order in which they are put.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The manifests with what they need.
    pub(super) images: Vec<PlannedImage>,
    /// The index over them.
    index: Option<Resolved>,
    /// True if the index in the store could not be pushed whole.
    pub(super) single_platform: bool,
}

/// One manifest of a push.
#[derive(Clone, Debug)]
pub(super) struct PlannedImage {
    /// Its document.
    pub(super) document: Resolved,
    /// The same, read.
    pub(super) manifest: Manifest,
    /// The layers, in order.
    pub(super) layers: Vec<PlannedLayer>,
    /// Whether there are uncompressed blobs that go compressed.
    repacked: bool,
}

/// One layer of a push.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PlannedLayer {
    /// Its blob is in the store.
    Ready(Descriptor),
    /// Its blob lies outside of registries and need not be pushed.
    Foreign(Descriptor),
    /// It is here unpacked, and its manifest names the uncompressed archive: a blob must be made.
    Unpacked(DiffId),
    /// Its blob was dropped from the store and must be made again with the same digest.
    Lost(DiffId, Descriptor),
}

impl Plan {
    /// Reads what a digest names in the store. For a registry, layers that are here uncompressed are compressed, unless it was a registry that gave
    /// them so.
    pub(super) async fn make(
        store: &Store,
        root: &Digest,
        platforms: Option<&Platforms>,
        compress: bool,
    ) -> Result<Self> {
        let (store, root, platforms) = (store.clone(), *root, platforms.cloned());
        blocking("reading the store", move || {
            let choice = held::choose(&store, &root, platforms.as_ref())?;
            Self::read(&store, choice, compress)
        })
        .await
    }

    fn read(store: &Store, choice: Choice, compress: bool) -> Result<Self> {
        let Choice {
            root: document,
            single_platform,
        } = choice;
        if !media_type::is_index(&document.descriptor.media_type) {
            return Ok(Self {
                images: vec![PlannedImage::read(store, document, compress)?],
                index: None,
                single_platform,
            });
        }
        let index: Index = parse(&document.descriptor.digest, &document.bytes)?;
        let mut images = Vec::new();
        for child in &index.manifests {
            let document = read_document(store, &child.digest)?;
            images.push(PlannedImage::read(store, document, compress)?);
        }
        Ok(Self {
            index: Some(follow(document, index, &images)?),
            images,
            single_platform,
        })
    }

    /// Whether layers that the store has as uncompressed blobs go compressed.
    pub(super) fn is_repacked(&self) -> bool {
        self.images.iter().any(|image| image.repacked)
    }

    /// True if every digest of the push is known, so that the target can be asked for it.
    pub(super) fn is_complete(&self) -> bool {
        !self.images.iter().any(|image| {
            image
                .layers
                .iter()
                .any(|layer| matches!(layer, PlannedLayer::Unpacked(_)))
        })
    }

    /// The document that gets the names.
    pub(super) fn root(&self) -> &Resolved {
        // A plan without an index has exactly one image.
        self.index
            .as_ref()
            .unwrap_or_else(|| &self.images[0].document)
    }

    /// The documents that come before the root.
    pub(super) fn children(&self) -> impl Iterator<Item = &Resolved> {
        let count = if self.index.is_some() {
            self.images.len()
        } else {
            0
        };
        self.images[..count].iter().map(|image| &image.document)
    }

    /// How many different blobs belong to it.
    pub(super) fn count_blobs(&self) -> usize {
        let all = self.images.iter().flat_map(|image| {
            std::iter::once(&image.manifest.config).chain(&image.manifest.layers)
        });
        all.map(|blob| blob.digest)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    }

    /// The same plan with new manifests; digests in an index follow.
    pub(super) fn with_manifests(mut self, manifests: Vec<Manifest>) -> Result<Self> {
        let mut renamed = Vec::new();
        for (image, manifest) in self.images.iter_mut().zip(manifests) {
            if image.manifest == manifest {
                continue;
            }
            let old = image.document.descriptor.digest;
            image.layers = manifest
                .layers
                .iter()
                .cloned()
                .map(PlannedLayer::Ready)
                .collect();
            image.document = compose(manifest.media_type.as_deref(), manifest.to_bytes()?);
            image.manifest = manifest;
            renamed.push((old, image.document.descriptor.clone()));
        }
        if let Some(document) = &mut self.index {
            let mut index: Index = parse(&document.descriptor.digest, &document.bytes)?;
            for child in &mut index.manifests {
                if let Some((_, new)) = renamed.iter().find(|(old, _)| *old == child.digest) {
                    (child.digest, child.size) = (new.digest, new.size);
                }
            }
            *document = compose(index.media_type.as_deref(), index.to_bytes()?);
        }
        Ok(self)
    }
}

impl PlannedImage {
    fn read(store: &Store, document: Resolved, compress: bool) -> Result<Self> {
        let digest = document.descriptor.digest;
        if media_type::is_index(&document.descriptor.media_type) {
            return Err(Error::protocol(
                format!("image {digest}"),
                "it is an index within an index, which kiln does not push",
            ));
        }
        let manifest: Manifest = parse(&digest, &document.bytes)?;
        let mut diff_ids = None;
        let mut planned = Vec::new();
        let mut repacked = false;
        let compress = compress && !came_from_a_registry(store, &manifest, &digest)?;
        for (position, layer) in manifest.layers.iter().enumerate() {
            if store.hold_blob(&layer.digest)? == Some(layer.size) {
                // The digest of an uncompressed layer is its diff id.
                let diff_id = DiffId(layer.digest);
                if compress && is_uncompressed(layer) && layers::has(store, &diff_id)? {
                    repacked = true;
                    planned.push(PlannedLayer::Unpacked(diff_id));
                } else {
                    planned.push(PlannedLayer::Ready(layer.clone()));
                }
                continue;
            }
            if media_type::is_foreign_layer(&layer.media_type) {
                planned.push(PlannedLayer::Foreign(layer.clone()));
                continue;
            }
            if diff_ids.is_none() {
                diff_ids = Some(read_diff_ids(store, &manifest)?);
            }
            let diff_id = diff_ids
                .as_ref()
                .and_then(|ids: &Vec<DiffId>| ids.get(position))
                .copied();
            let diff_id = diff_id.ok_or_else(|| kiln_store::Error::BlobNotFound {
                digest: layer.digest,
            })?;
            planned.push(if is_uncompressed(layer) {
                PlannedLayer::Unpacked(diff_id)
            } else {
                PlannedLayer::Lost(diff_id, layer.clone())
            });
        }
        let mut image = Self {
            document,
            manifest,
            layers: planned,
            repacked,
        };
        image.use_known_blobs(store)?;
        Ok(image)
    }

    /// An image pushed before has all its blobs: then its new manifest is known without making anything.
    fn use_known_blobs(&mut self, store: &Store) -> Result<()> {
        let mut manifest = self.manifest.clone();
        let mut changed = false;
        for (layer, descriptor) in self.layers.iter().zip(&mut manifest.layers) {
            if let PlannedLayer::Unpacked(diff_id) = layer {
                match layers::known_blob(store, diff_id)? {
                    Some(blob) => *descriptor = relabel(descriptor, &blob),
                    None => return Ok(()),
                }
                changed = true;
            }
        }
        if changed {
            self.layers = self
                .layers
                .iter()
                .zip(&manifest.layers)
                .map(|(layer, descriptor)| match layer {
                    PlannedLayer::Unpacked(_) => PlannedLayer::Ready(descriptor.clone()),
                    other => other.clone(),
                })
                .collect();
            self.document = compose(manifest.media_type.as_deref(), manifest.to_bytes()?);
            self.manifest = manifest;
        }
        Ok(())
    }
}

/// The index over these images: their manifests may have changed when they took on blobs that were made before.
fn follow(document: Resolved, mut index: Index, images: &[PlannedImage]) -> Result<Resolved> {
    let mut changed = false;
    for (child, image) in index.manifests.iter_mut().zip(images) {
        let new = &image.document.descriptor;
        if child.digest != new.digest {
            (child.digest, child.size) = (new.digest, new.size);
            changed = true;
        }
    }
    if !changed {
        return Ok(document);
    }
    Ok(compose(index.media_type.as_deref(), index.to_bytes()?))
}

fn is_uncompressed(layer: &Descriptor) -> bool {
    media_type::layer_compression(&layer.media_type) == Some(media_type::LayerCompression::None)
}

/// Whether an image with uncompressed layers is one that a registry has: its digest is known elsewhere and stays.
fn came_from_a_registry(store: &Store, manifest: &Manifest, digest: &Digest) -> Result<bool> {
    if !manifest.layers.iter().any(is_uncompressed) {
        return Ok(true);
    }
    Ok(store.origins()?.contains_key(digest))
}

/// The descriptor of a layer with another blob in it; notes on the layer stay, and the words of who wrote the manifest.
pub(super) fn relabel(old: &Descriptor, blob: &Descriptor) -> Descriptor {
    let media_type = match (old.media_type.as_str(), blob.media_type.as_str()) {
        (media_type::DOCKER_LAYER, media_type::OCI_LAYER_GZIP) => media_type::DOCKER_LAYER_GZIP,
        (_, new) => new,
    };
    Descriptor {
        media_type: media_type.to_owned(),
        digest: blob.digest,
        size: blob.size,
        ..old.clone()
    }
}

fn read_diff_ids(store: &Store, manifest: &Manifest) -> Result<Vec<DiffId>> {
    let bytes = store.read_blob(&manifest.config.digest, MANIFEST_LIMIT)?;
    let config: ImageConfig = parse(&manifest.config.digest, &bytes)?;
    Ok(config.diff_ids().to_vec())
}

fn compose(media_type: Option<&str>, bytes: Vec<u8>) -> Resolved {
    let kind = media_type.unwrap_or(media_type::OCI_MANIFEST);
    Resolved {
        descriptor: Descriptor::new(kind, Digest::sha256(&bytes), bytes.len() as u64),
        bytes: Bytes::from(bytes),
    }
}
