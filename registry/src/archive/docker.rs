//! Docker's list of images, `manifest.json`, and the documents that an archive without an image layout gets from it.

use std::fs::File;

use kiln_store::{
    Descriptor, Digest, Hasher, ImageConfig, MANIFEST_LIMIT, Manifest, ManifestKind, Reference,
    media_type,
};
use serde::{Deserialize, Serialize};

use crate::content::Resolved;
use crate::error::{Error, Result};

use super::scan::{Member, Members, read_exact};
use super::spool::starts_compressed;

/// What is hashed at once.
const BUFFER: usize = 256 << 10;

/// One image of the list.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    /// The entry of the configuration.
    pub(super) config: String,
    /// Names, as people write them.
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    /// The entries of the layers, lowest first.
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

impl DockerImage {
    /// The names that are references.
    pub(super) fn names(&self) -> impl Iterator<Item = Reference> {
        let tags = self.repo_tags.iter().flatten();
        tags.filter_map(|tag| tag.parse().ok())
    }
}

/// An image as a layout would hold it.
pub(super) struct Composed {
    /// Its manifest.
    pub(super) document: Resolved,
    /// Configuration and layers, and where they lie.
    pub(super) blobs: Vec<(Digest, Member)>,
}

/// Makes the manifest of an image of the list. Its layers are named by the configuration's diff ids, unless they are compressed.
pub(super) fn compose(
    name: &str,
    file: &File,
    members: &Members,
    image: &DockerImage,
) -> Result<Composed> {
    let find = |entry: &str| {
        members.find(entry).ok_or_else(|| {
            Error::protocol(
                name,
                format!("its `manifest.json` names `{entry}`, which is not there"),
            )
        })
    };
    let place = find(&image.config)?;
    let bytes = small(name, file, place)?;
    let digest = Digest::sha256(&bytes);
    let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|error| {
        Error::protocol(
            name,
            format!("the configuration `{}` is not valid: {error}", image.config),
        )
    })?;
    let layers = image.layers.as_deref().unwrap_or_default();
    if config.diff_ids().len() != layers.len() {
        return Err(Error::protocol(
            name,
            format!(
                "the configuration `{}` names {} layers, `manifest.json` {}",
                image.config,
                config.diff_ids().len(),
                layers.len()
            ),
        ));
    }
    let mut blobs = vec![(digest, place)];
    let mut descriptors = Vec::new();
    for (entry, diff_id) in layers.iter().zip(config.diff_ids()) {
        let place = find(entry)?;
        let (kind, digest) = match compression(name, file, place)? {
            media_type::LayerCompression::None => (media_type::DOCKER_LAYER, *diff_id.digest()),
            media_type::LayerCompression::Gzip => {
                (media_type::DOCKER_LAYER_GZIP, hash(name, file, place)?)
            }
            media_type::LayerCompression::Zstd => {
                (media_type::DOCKER_LAYER_ZSTD, hash(name, file, place)?)
            }
        };
        descriptors.push(Descriptor::new(kind, digest, place.size));
        blobs.push((digest, place));
    }
    let config = Descriptor::new(media_type::DOCKER_CONFIG, digest, place.size);
    let bytes = Manifest::new(ManifestKind::Docker, config, descriptors).to_bytes()?;
    Ok(Composed {
        document: Resolved {
            descriptor: Descriptor::new(
                media_type::DOCKER_MANIFEST,
                Digest::sha256(&bytes),
                bytes.len() as u64,
            ),
            bytes: bytes.into(),
        },
        blobs,
    })
}

/// The whole of a small file.
pub(super) fn small(name: &str, file: &File, place: Member) -> Result<Vec<u8>> {
    if place.size > MANIFEST_LIMIT {
        return Err(Error::protocol(
            name,
            format!(
                "a document of {} bytes, more than the {MANIFEST_LIMIT} allowed",
                place.size
            ),
        ));
    }
    // At most the limit.
    let mut bytes = vec![0; place.size as usize];
    read_exact(name, file, &mut bytes, place.start)?;
    Ok(bytes)
}

fn compression(name: &str, file: &File, place: Member) -> Result<media_type::LayerCompression> {
    let mut start = [0; 4];
    let length = place.size.min(4) as usize;
    read_exact(name, file, &mut start[..length], place.start)?;
    Ok(match &start[..length] {
        start if !starts_compressed(start) => media_type::LayerCompression::None,
        [0x1f, ..] => media_type::LayerCompression::Gzip,
        _ => media_type::LayerCompression::Zstd,
    })
}

fn hash(name: &str, file: &File, place: Member) -> Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < place.size {
        let length = (place.size - at).min(BUFFER as u64) as usize;
        read_exact(name, file, &mut buffer[..length], place.start + at)?;
        hasher.update(&buffer[..length]);
        at += length as u64;
    }
    Ok(hasher.finish())
}
