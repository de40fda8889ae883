//! An image of the content store as a repository to read from.
//!
//! Blobs that the store has are read where they are. A layer that was made here and is named uncompressed is written as its tar first, one that was
//! compressed and dropped is compressed again; both give the same bytes as ever, so digests hold.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kiln_store::{
    Compression, Descriptor, DiffId, Digest, ImageConfig, Index, MANIFEST_LIMIT, Manifest, Store,
    media_type,
};

use crate::content::{BlobUpload, ByteStream, ManifestName, Placed, Repository, Resolved};
use crate::copy::Platforms;
use crate::error::{Error, Result};
use crate::held;
use crate::source::{blocking, read_file};
use crate::transport::Traffic;

/// One image or index of the store.
#[derive(Clone, Debug)]
pub struct StoredImages {
    store: Store,
    name: String,
    /// What was chosen of it.
    root: Resolved,
    /// What the layers that have no blob are, by the digest that their manifest gives them.
    layers: BTreeMap<Digest, DiffId>,
}

impl StoredImages {
    /// Opens an image or index; `name` is for messages. `platforms` chooses from an index; `None` means all of it or, where not all is here, this
    /// machine's image.
    pub async fn open(
        store: &Store,
        root: &Digest,
        name: &str,
        platforms: Option<&Platforms>,
    ) -> Result<Self> {
        let (store, root, name) = (store.clone(), *root, name.to_owned());
        let platforms = platforms.cloned();
        blocking("reading the store", move || {
            let root = held::choose(&store, &root, platforms.as_ref())?.root;
            let mut images = Self {
                store,
                name,
                root: root.clone(),
                layers: BTreeMap::new(),
            };
            images.note(&root, true)?;
            Ok(images)
        })
        .await
    }

    /// The name to copy it by.
    #[must_use]
    pub fn root_name(&self) -> ManifestName {
        ManifestName::Digest(self.root.descriptor.digest)
    }

    fn note(&mut self, document: &Resolved, outermost: bool) -> Result<()> {
        let broken = |error: serde_json::Error| {
            let what = format!("stored content {}", document.descriptor.digest);
            Error::protocol(what, format!("it is not valid: {error}"))
        };
        if media_type::is_index(&document.descriptor.media_type) {
            let index: Index = serde_json::from_slice(&document.bytes).map_err(broken)?;
            for child in index.manifests.iter().filter(|_| outermost) {
                let child = self.document(&child.digest)?;
                self.note(&child, false)?;
            }
            return Ok(());
        }
        let manifest: Manifest = serde_json::from_slice(&document.bytes).map_err(broken)?;
        if !media_type::is_image_config(&manifest.config.media_type) {
            return Ok(());
        }
        let bytes = self
            .store
            .read_blob(&manifest.config.digest, MANIFEST_LIMIT)?;
        let config: ImageConfig = serde_json::from_slice(&bytes).map_err(broken)?;
        for (layer, diff_id) in manifest.layers.iter().zip(config.diff_ids()) {
            self.layers.insert(layer.digest, *diff_id);
        }
        Ok(())
    }

    fn document(&self, digest: &Digest) -> Result<Resolved> {
        if *digest == self.root.descriptor.digest {
            return Ok(self.root.clone());
        }
        match held::read_document(&self.store, digest) {
            Err(Error::Store(kiln_store::Error::BlobNotFound { .. })) => Err(Error::NotFound(
                format!("{digest} of {} in the store", self.name),
            )),
            read => read,
        }
    }

    /// Makes sure that a blob is in the store.
    fn make(&self, blob: &Descriptor) -> Result<()> {
        if self.store.hold_blob(&blob.digest)? == Some(blob.size) {
            return Ok(());
        }
        let gone = || kiln_store::Error::BlobNotFound {
            digest: blob.digest,
        };
        let layer = self.layers.get(&blob.digest).ok_or_else(gone)?;
        let compression = match media_type::layer_compression(&blob.media_type) {
            Some(media_type::LayerCompression::Gzip) => Compression::GZIP,
            Some(media_type::LayerCompression::Zstd) => Compression::ZSTD,
            _ => Compression::None,
        };
        let made = self.store.layer_blob(layer, compression)?;
        if made.digest != blob.digest {
            return Err(gone().into());
        }
        Ok(())
    }
}

impl Repository for StoredImages {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn head_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
    ) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        async move {
            match self.manifest(name).await {
                Ok(found) => Ok(Some(found.descriptor)),
                Err(Error::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn manifest<'a>(&'a self, name: &'a ManifestName) -> BoxFuture<'a, Result<Resolved>> {
        let (this, name) = (self.clone(), name.clone());
        async move {
            blocking("reading the store", move || match name {
                ManifestName::Digest(digest) => this.document(&digest),
                ManifestName::Tag(_) => Ok(this.root),
            })
            .await
        }
        .boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        _: &'a ManifestName,
        _: &'a Resolved,
    ) -> BoxFuture<'a, Result<()>> {
        std::future::ready(Err(read_only())).boxed()
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<bool>> {
        let (store, blob) = (self.store.clone(), blob.clone());
        async move {
            blocking("reading the store", move || {
                Ok(store.hold_blob(&blob.digest)? == Some(blob.size))
            })
            .await
        }
        .boxed()
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, offset: u64) -> BoxFuture<'a, Result<ByteStream>> {
        let (this, blob) = (self.clone(), blob.clone());
        async move {
            let name = format!("blob {}", blob.digest);
            let file = blocking("reading the store", move || {
                this.make(&blob)?;
                Ok(this.store.open_blob(&blob.digest)?)
            })
            .await?;
            Ok(read_file(file, offset, name))
        }
        .boxed()
    }

    fn put_blob<'a>(&'a self, _: &'a BlobUpload) -> BoxFuture<'a, Result<Placed>> {
        std::future::ready(Err(read_only())).boxed()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

fn read_only() -> Error {
    Error::Options("an image of the store is open for reading".to_owned())
}
