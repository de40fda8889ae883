//! Conversions on the way: the OCI's media types, another compression.
//!
//! A blob's digest has to be known before it is sent, so a layer that is compressed anew lies in a file without a name until then.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_store::{Compression, Descriptor, Digest, Index, Manifest, media_type};

use crate::content::{BlobSource, Resolved};
use crate::error::{Error, Result};
use crate::source::RepositoryBlob;

use super::Conversion;
use super::blobs::Blobs;
use super::selection::{Selection, compose, parse, stays_outside};

/// Sends the blobs of a selection, converted, and gives the selection with the documents that fit them.
pub(super) async fn convert(
    blobs: &mut Blobs<'_>,
    selection: Selection,
    conversion: &Conversion,
) -> Result<Selection> {
    let mut renamed: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    let mut documents = Vec::new();
    let name = blobs.from.name();
    for document in &selection.documents {
        let converted = one(blobs, &name, document, conversion, &renamed).await?;
        renamed.insert(document.descriptor.digest, converted.descriptor.clone());
        documents.push(converted);
    }
    let root = one(blobs, &name, &selection.root, conversion, &renamed).await?;
    Ok(Selection {
        root,
        documents,
        ..selection
    })
}

async fn one(
    blobs: &mut Blobs<'_>,
    name: &str,
    document: &Resolved,
    conversion: &Conversion,
    renamed: &BTreeMap<Digest, Descriptor>,
) -> Result<Resolved> {
    if media_type::is_index(&document.descriptor.media_type) {
        return index(name, document, conversion, renamed);
    }
    let before: Manifest = parse(name, document)?;
    let mut manifest = before.clone();
    if conversion.to_oci {
        manifest.media_type = Some(media_type::OCI_MANIFEST.to_owned());
        to_oci(&mut manifest.config);
    }
    let mut sources: Vec<(Descriptor, Arc<dyn BlobSource>)> =
        vec![(manifest.config.clone(), source(blobs, &before.config))];
    for layer in &mut manifest.layers {
        if stays_outside(layer) {
            continue;
        }
        let original = layer.clone();
        let wanted = conversion
            .compression
            .filter(|wanted| needs(&original, *wanted));
        let bytes = match wanted {
            Some(wanted) => recompress(blobs, layer, wanted, conversion).await?,
            None => source(blobs, &original),
        };
        if conversion.to_oci || wanted.is_some() {
            relabel(
                layer,
                document.descriptor.media_type == media_type::DOCKER_MANIFEST && !conversion.to_oci,
            );
        }
        sources.push((layer.clone(), bytes));
    }
    blobs.send_from(sources).await?;
    if manifest == before {
        return Ok(document.clone());
    }
    let kind = manifest
        .media_type
        .clone()
        .unwrap_or_else(|| document.descriptor.media_type.clone());
    Ok(compose(&kind, manifest.to_bytes()?))
}

fn index(
    name: &str,
    document: &Resolved,
    conversion: &Conversion,
    renamed: &BTreeMap<Digest, Descriptor>,
) -> Result<Resolved> {
    let before: Index = parse(name, document)?;
    let mut index = before.clone();
    for child in &mut index.manifests {
        if let Some(new) = renamed.get(&child.digest) {
            (child.media_type, child.digest, child.size) =
                (new.media_type.clone(), new.digest, new.size);
        }
    }
    // Attestations name their image by its digest.
    for child in &mut index.manifests {
        for note in child.annotations.iter_mut().flat_map(BTreeMap::values_mut) {
            if let Some(new) = note.parse().ok().and_then(|old: Digest| renamed.get(&old)) {
                *note = new.digest.to_string();
            }
        }
    }
    if conversion.to_oci {
        index.media_type = Some(media_type::OCI_INDEX.to_owned());
    }
    if index == before {
        return Ok(document.clone());
    }
    let kind = index
        .media_type
        .clone()
        .unwrap_or_else(|| document.descriptor.media_type.clone());
    Ok(compose(&kind, index.to_bytes()?))
}

fn source(blobs: &Blobs<'_>, blob: &Descriptor) -> Arc<dyn BlobSource> {
    Arc::new(RepositoryBlob {
        repository: blobs.from.clone(),
        descriptor: blob.clone(),
    })
}

/// Whether a layer is one and is not compressed this way.
fn needs(layer: &Descriptor, wanted: Compression) -> bool {
    let wanted = media_type::layer_compression(wanted.media_type());
    let actual = media_type::layer_compression(&layer.media_type);
    actual.is_some() && actual != wanted
}

async fn recompress(
    blobs: &Blobs<'_>,
    layer: &mut Descriptor,
    wanted: Compression,
    conversion: &Conversion,
) -> Result<Arc<dyn BlobSource>> {
    let Some(scratch) = &conversion.scratch else {
        return Err(Error::Options(
            "a compression needs a directory for its results".to_owned(),
        ));
    };
    let made = crate::recompress::recompress(blobs.from.as_ref(), layer, wanted, scratch).await?;
    layer.digest = made.digest;
    layer.size = made.size;
    layer.media_type = wanted.media_type().to_owned();
    Ok(Arc::new(made.blob))
}

fn to_oci(config: &mut Descriptor) {
    if config.media_type == media_type::DOCKER_CONFIG {
        config.media_type = media_type::OCI_CONFIG.to_owned();
    }
}

/// The media type of a layer in the family of its manifest.
fn relabel(layer: &mut Descriptor, docker: bool) {
    use media_type::LayerCompression::{Gzip, None as Plain, Zstd};
    let kind = match (media_type::layer_compression(&layer.media_type), docker) {
        (Some(Plain), false) => media_type::OCI_LAYER,
        (Some(Gzip), false) => media_type::OCI_LAYER_GZIP,
        (Some(Zstd), false) => media_type::OCI_LAYER_ZSTD,
        (Some(Plain), true) => media_type::DOCKER_LAYER,
        (Some(Gzip), true) => media_type::DOCKER_LAYER_GZIP,
        (Some(Zstd), true) => media_type::DOCKER_LAYER_ZSTD,
        (None, _) => return,
    };
    layer.media_type = kind.to_owned();
}
