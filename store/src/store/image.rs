//! Images: a manifest, its configuration, and the mark that says they were built or pulled here.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::manifest::MANIFEST_LIMIT;
use crate::store::boot::Stamp;
use crate::store::document::{Document, list, parse_document};
use crate::store::lease::Held;
use crate::store::tag::{now, remove_if_there};
use crate::{
    Descriptor, Digest, Error, ImageConfig, ImageId, Index, Manifest, ManifestKind, Platform,
    Reference, Result, Store, media_type,
};

/// One image of one platform.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the manifest.
    pub manifest_digest: Digest,
    /// The manifest as received.
    pub manifest_bytes: Vec<u8>,
    /// The manifest, read.
    pub manifest: Manifest,
    /// The digest of the configuration: the image's identity on every machine.
    pub id: ImageId,
    /// The configuration as received.
    pub config_bytes: Vec<u8>,
    /// The configuration, read.
    pub config: ImageConfig,
}

/// What the list of images shows without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// When it came here, seconds since 1970.
    pub created: u64,
    /// Its names; none for a dangling image.
    pub tags: Vec<Reference>,
}

/// The file that marks an image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImageFile {
    pub(crate) digest: Digest,
    pub(crate) created: u64,
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
}

impl Store {
    /// Reads an image; of an index, the one for this machine.
    pub fn image(&self, digest: &Digest) -> Result<Image> {
        self.image_for(digest, &Platform::host())
    }

    /// Reads an image; of an index, the one for this platform. The image and its layers are held until the store is closed.
    pub fn image_for(&self, digest: &Digest, platform: &Platform) -> Result<Image> {
        let inside = self.enter()?;
        let (bytes, document) = self.document(digest)?;
        let (manifest_digest, manifest_bytes, manifest) = match document {
            Document::Manifest(manifest) => (*digest, bytes, *manifest),
            Document::Index(index) => self.choose(digest, &index, platform)?,
        };
        let image = self.complete(manifest_digest, manifest_bytes, manifest)?;
        let layers = image
            .config
            .diff_ids()
            .iter()
            .map(|layer| Held::Layer(*layer));
        let blobs = image
            .manifest
            .layers
            .iter()
            .map(|layer| Held::Blob(layer.digest));
        let things: Vec<Held> = layers.chain(blobs).collect();
        self.hold(&inside, &things)?;
        Ok(image)
    }

    /// Reads an image to tell about it, not to run it: of an index, the one for this machine, or else the first that is here.
    pub fn any_image(&self, digest: &Digest) -> Result<Image> {
        let elsewhere = match self.image(digest) {
            Err(error @ (Error::NoPlatform { .. } | Error::PlatformNotStored { .. })) => error,
            image => return image,
        };
        let (_, Document::Index(index)) = self.document(digest)? else {
            return Err(elsewhere);
        };
        for (manifest, _) in index.images() {
            if self.blob_size(&manifest.digest)?.is_some() {
                return self.image(&manifest.digest);
            }
        }
        Err(elsewhere)
    }

    /// Composes and stores an image from a configuration and its layers, lowest first.
    pub fn put_image(
        &self,
        config: &ImageConfig,
        layers: &[Descriptor],
        kind: ManifestKind,
    ) -> Result<Image> {
        let config_bytes = config.to_bytes()?;
        let config_digest = self.put_blob(&config_bytes)?;
        let descriptor = Descriptor::new(kind.config(), config_digest, config_bytes.len() as u64);
        let manifest = Manifest::new(kind, descriptor, layers.to_vec());
        let manifest_bytes = manifest.to_bytes()?;
        let manifest_digest = self.put_blob(&manifest_bytes)?;
        self.add_image(&manifest_digest)?;
        Ok(Image {
            manifest_digest,
            manifest_bytes,
            manifest,
            id: ImageId(config_digest),
            config_bytes,
            config: config.clone(),
        })
    }

    /// Marks a manifest or index in the store as an image, so that it stays without a name.
    pub fn add_image(&self, digest: &Digest) -> Result<()> {
        self.mark_image(digest)?;
        self.settle()
    }

    pub(crate) fn mark_image(&self, digest: &Digest) -> Result<()> {
        let path = self.image_path(digest);
        let inside = self.enter()?;
        self.hold(&inside, &[Held::Blob(*digest)])?;
        if self.blob_size(digest)?.is_none() {
            return Err(Error::BlobNotFound { digest: *digest });
        }
        if self.read_json::<ImageFile>(&path)?.is_none() {
            let file = ImageFile {
                digest: *digest,
                created: now(),
                stamp: self.stamp(),
            };
            self.write_json("the mark of an image", &path, &file)?;
        }
        drop(inside);
        Ok(())
    }

    /// Takes the mark of an image away; what only it reached stays until the next prune.
    pub fn unmark_image(&self, digest: &Digest) -> Result<()> {
        remove_if_there(&self.image_path(digest))
    }

    /// All images, newest first.
    pub fn images(&self) -> Result<Vec<StoredImage>> {
        let directory = self.root().join("refs/images");
        let tags = self.tags()?;
        let mut images = Vec::new();
        for entry in fs::read_dir(&directory).map_err(Error::io("list", &directory))? {
            let path = entry.map_err(Error::io("list", &directory))?.path();
            let Some(file) = self.read_json::<ImageFile>(&path)? else {
                continue;
            };
            let names = tags.iter().filter(|(_, digest)| *digest == file.digest);
            images.push(StoredImage {
                digest: file.digest,
                created: file.created,
                tags: names.map(|(name, _)| name.clone()).collect(),
            });
        }
        images.sort_by(|a, b| (b.created, a.digest).cmp(&(a.created, b.digest)));
        Ok(images)
    }

    /// Finds an image by the beginning of its identifier or of its digest, as `docker` takes them. Of several manifests of one
    /// image, such as before and after compression, one with a name, or else the newest.
    pub fn find_image(&self, prefix: &str) -> Result<Option<Digest>> {
        let digits = prefix.strip_prefix("sha256:").unwrap_or(prefix);
        let is_hex = digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits.is_empty() || digits.len() > 64 || !is_hex {
            return Ok(None);
        }
        let mut found: Vec<(Option<ImageId>, Digest)> = Vec::new();
        let mut images = self.images()?;
        // Stable, so the newest of each kind comes first.
        images.sort_by_key(|stored| stored.tags.is_empty());
        for stored in images {
            // One that cannot be read is still found by its digest, to be removed.
            let id = self.any_image(&stored.digest).ok().map(|image| image.id);
            let by_id = id.is_some_and(|id| id.0.hex().starts_with(digits));
            let is_known = id.is_some() && found.iter().any(|(known, _)| *known == id);
            if (by_id || stored.digest.hex().starts_with(digits)) && !is_known {
                found.push((id, stored.digest));
            }
        }
        match found.as_slice() {
            [] => Ok(None),
            [(_, digest)] => Ok(Some(*digest)),
            _ => Err(Error::AmbiguousId {
                prefix: prefix.to_owned(),
                count: found.len(),
            }),
        }
    }

    /// All manifests and indexes of the image that this one is of, itself included: those that differ in how the layers are
    /// compressed, as before and after a push. Of one that cannot be read, itself alone.
    pub fn forms_of(&self, digest: &Digest) -> Result<Vec<StoredImage>> {
        let id_of = |digest: &Digest| self.any_image(digest).ok().map(|image| image.id);
        let wanted = id_of(digest);
        let mut forms = self.images()?;
        forms.retain(|stored| {
            stored.digest == *digest || wanted.is_some() && id_of(&stored.digest) == wanted
        });
        Ok(forms)
    }

    /// Reads a manifest or an index and tells which it is.
    pub(crate) fn document(&self, digest: &Digest) -> Result<(Vec<u8>, Document)> {
        let bytes = self.read_blob(digest, MANIFEST_LIMIT)?;
        let document = parse_document(digest, &bytes)?;
        Ok((bytes, document))
    }

    /// The image of an index that fits best.
    fn choose(
        &self,
        digest: &Digest,
        index: &Index,
        wanted: &Platform,
    ) -> Result<(Digest, Vec<u8>, Manifest)> {
        let offered: Vec<(&Descriptor, Platform)> = index.images().collect();
        let platforms: Vec<Platform> = offered
            .iter()
            .map(|(_, platform)| platform.clone())
            .collect();
        let Some(position) = wanted.best_match(&platforms) else {
            return Err(Error::NoPlatform {
                digest: *digest,
                wanted: wanted.to_string(),
                available: list(&platforms),
            });
        };
        let chosen = offered[position].0.digest;
        if self.blob_size(&chosen)?.is_none() {
            return Err(Error::PlatformNotStored {
                digest: *digest,
                wanted: wanted.to_string(),
            });
        }
        match self.document(&chosen)? {
            (bytes, Document::Manifest(manifest)) => Ok((chosen, bytes, *manifest)),
            (_, Document::Index(_)) => Err(Error::Document {
                what: "image index",
                digest: *digest,
                reason: format!("{chosen} in it is another index"),
            }),
        }
    }

    fn complete(
        &self,
        manifest_digest: Digest,
        manifest_bytes: Vec<u8>,
        manifest: Manifest,
    ) -> Result<Image> {
        let digest = manifest.config.digest;
        let fail = |reason: String| Error::Document {
            what: "image configuration",
            digest,
            reason,
        };
        if !media_type::is_image_config(&manifest.config.media_type) {
            return Err(fail(format!(
                "{} is no image that can run",
                manifest.config.media_type
            )));
        }
        let config_bytes = self.read_blob(&digest, MANIFEST_LIMIT)?;
        let config: ImageConfig =
            serde_json::from_slice(&config_bytes).map_err(|error| fail(error.to_string()))?;
        if config.diff_ids().len() != manifest.layers.len() {
            let reason = format!(
                "it names {} layers, the manifest {}",
                config.diff_ids().len(),
                manifest.layers.len()
            );
            return Err(fail(reason));
        }
        Ok(Image {
            manifest_digest,
            manifest_bytes,
            manifest,
            id: ImageId(digest),
            config_bytes,
            config,
        })
    }
}
