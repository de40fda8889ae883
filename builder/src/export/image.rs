//! Manifests and indexes of a result, in the store and under their names.

use std::collections::BTreeMap;

use kiln_store::{
    Descriptor, Image, ImageId, Index, Manifest, ManifestKind, Platform, Reference, Store,
    media_type,
};

use super::attestation::attest;
use super::{AnnotationLevel, BuiltTarget, ImageOptions, recompress};
use crate::error::BuildError;

/// What an image is known by in the store.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The document that has the names: a manifest, of several platforms an index.
    pub descriptor: Descriptor,
    /// The image of each platform, in the order asked for.
    pub images: Vec<Image>,
}

impl Exported {
    /// Whether the document is an index.
    pub fn is_index(&self) -> bool {
        media_type::is_index(&self.descriptor.media_type)
    }
}

/// Stores the image of these targets as the options say and gives it its names. One target gives a manifest; several, or one
/// with an attestation, an index.
pub fn store_image(
    store: &Store,
    targets: &[BuiltTarget],
    options: &ImageOptions,
    tags: &[Reference],
) -> Result<Exported, BuildError> {
    let failed = |error: kiln_store::Error| BuildError::host("cannot store the image", error);
    check_annotations(targets, options)?;
    let mut images = Vec::with_capacity(targets.len());
    for target in targets {
        let layers = packed_layers(store, target, options)?;
        let image = compose(target, layers, options)?;
        store.put_blob(&image.config_bytes).map_err(failed)?;
        store.put_blob(&image.manifest_bytes).map_err(failed)?;
        images.push(image);
    }
    let descriptor = match (images.as_slice(), targets) {
        ([image], [target]) if options.attestation.is_none() => describe(image, target, options),
        _ => {
            let mut statements = Vec::new();
            for (image, target) in images.iter().zip(targets) {
                if let Some(attestation) = &options.attestation {
                    statements.push(attest(store, image, target, attestation)?);
                }
            }
            let (bytes, descriptor) = index(&images, targets, options, statements)?;
            store.put_blob(&bytes).map_err(failed)?;
            descriptor
        }
    };
    store.add_image(&descriptor.digest).map_err(failed)?;
    for tag in tags {
        store
            .tag(&tag.clone().with_default_tag(), &descriptor.digest)
            .map_err(failed)?;
    }
    Ok(Exported { descriptor, images })
}

/// The documents of one platform's image over these layers. Nothing is stored.
pub(crate) fn compose(
    target: &BuiltTarget,
    layers: Vec<Descriptor>,
    options: &ImageOptions,
) -> Result<Image, BuildError> {
    let failed = |error: kiln_store::Error| BuildError::host("cannot compose the image", error);
    let config_bytes = target.config.to_bytes().map_err(failed)?;
    let config = kiln_store::Digest::sha256(&config_bytes);
    let descriptor = Descriptor::new(options.kind.config(), config, config_bytes.len() as u64);
    let layers = layers
        .into_iter()
        .map(|layer| as_kind(layer, options.kind))
        .collect();
    let mut manifest = Manifest::new(options.kind, descriptor, layers);
    manifest.annotations = annotations(options, AnnotationLevel::Manifest, Some(&target.platform));
    let manifest_bytes = manifest.to_bytes().map_err(failed)?;
    Ok(Image {
        manifest_digest: kiln_store::Digest::sha256(&manifest_bytes),
        manifest_bytes,
        manifest,
        id: ImageId(config),
        config_bytes,
        config: target.config.clone(),
    })
}

/// Annotations of an index need one.
fn check_annotations(targets: &[BuiltTarget], options: &ImageOptions) -> Result<(), BuildError> {
    let of_index = |level| matches!(level, AnnotationLevel::Index);
    let misplaced = options.annotations.iter().find(|annotation| {
        of_index(annotation.level) && targets.len() < 2 && options.attestation.is_none()
    });
    match misplaced {
        Some(annotation) => Err(BuildError::host(
            format!("annotation `{}`", annotation.key),
            "index annotations not supported for single platform export",
        )),
        None => Ok(()),
    }
}

/// The layers of a target, compressed as the options ask.
fn packed_layers(
    store: &Store,
    target: &BuiltTarget,
    options: &ImageOptions,
) -> Result<Vec<Descriptor>, BuildError> {
    let Some(compression) = options.compression else {
        return Ok(target.layers.clone());
    };
    let layers = target.layers.iter().zip(target.config.diff_ids());
    layers
        .map(|(layer, diff_id)| {
            let is_tar = media_type::layer_compression(&layer.media_type)
                == Some(media_type::LayerCompression::None);
            if is_tar {
                // Its bytes must be there, not only its files, also where they are the tar itself.
                return store.layer_blob(diff_id, compression).map_err(|error| {
                    BuildError::host(format!("cannot write layer {diff_id}"), error)
                });
            }
            if options.force_compression {
                return recompress::recompress(store, layer, compression);
            }
            Ok(layer.clone())
        })
        .collect()
}

fn index(
    images: &[Image],
    targets: &[BuiltTarget],
    options: &ImageOptions,
    statements: Vec<Descriptor>,
) -> Result<(Vec<u8>, Descriptor), BuildError> {
    let manifests = images
        .iter()
        .zip(targets)
        .map(|(image, target)| describe(image, target, options))
        .chain(statements)
        .collect();
    let mut index = Index::new(options.kind, manifests);
    index.annotations = annotations(options, AnnotationLevel::Index, None);
    let bytes = index
        .to_bytes()
        .map_err(|error| BuildError::host("cannot compose the index", error))?;
    let digest = kiln_store::Digest::sha256(&bytes);
    let mut descriptor = Descriptor::new(options.kind.index(), digest, bytes.len() as u64);
    descriptor.annotations = annotations(options, AnnotationLevel::IndexDescriptor, None);
    Ok((bytes, descriptor))
}

/// The manifest's entry in an index.
fn describe(image: &Image, target: &BuiltTarget, options: &ImageOptions) -> Descriptor {
    let size = image.manifest_bytes.len() as u64;
    let mut descriptor = Descriptor::new(options.kind.manifest(), image.manifest_digest, size);
    descriptor.platform = Some(target.platform.clone());
    descriptor.annotations = annotations(
        options,
        AnnotationLevel::ManifestDescriptor,
        Some(&target.platform),
    );
    descriptor
}

fn annotations(
    options: &ImageOptions,
    level: AnnotationLevel,
    platform: Option<&Platform>,
) -> Option<BTreeMap<String, String>> {
    let fits = |wanted: &Option<Platform>| match (wanted, platform) {
        (None, _) => true,
        (Some(wanted), Some(platform)) => wanted.clone().normalized() == *platform,
        (Some(_), None) => false,
    };
    let all: BTreeMap<String, String> = options
        .annotations
        .iter()
        .filter(|annotation| annotation.level == level && fits(&annotation.platform))
        .map(|annotation| (annotation.key.clone(), annotation.value.clone()))
        .collect();
    (!all.is_empty()).then_some(all)
}

/// A layer under the name that manifests of this kind use for it.
fn as_kind(mut layer: Descriptor, kind: ManifestKind) -> Descriptor {
    if kind == ManifestKind::Docker {
        let name = match layer.media_type.as_str() {
            media_type::OCI_LAYER => media_type::DOCKER_LAYER,
            media_type::OCI_LAYER_GZIP => media_type::DOCKER_LAYER_GZIP,
            media_type::OCI_LAYER_ZSTD => media_type::DOCKER_LAYER_ZSTD,
            _ => return layer,
        };
        layer.media_type = name.to_owned();
    }
    layer
}
