//! Loose files in a directory, as skopeo's `dir:` has them.
//!
//! ```text
//! version                 Directory Transport Version: 1.1
//! manifest.json           the image, or the index
//! <hex>.manifest.json     a manifest of the index
//! <hex>                   configuration and layers
//! ```
//!
//! A directory holds one image and no names. Files appear by rename, whole and verified; `manifest.json` is the last.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kiln_store::{Descriptor, Digest, MANIFEST_LIMIT};

use crate::content::{BlobUpload, ByteStream, ManifestName, Placed, Repository, Resolved};
use crate::error::{Error, Result};
use crate::layout::{receive_file, write_file};
use crate::remote::{decide_media_type, verify};
use crate::source::{blocking, read_file};
use crate::transport::Traffic;

const VERSION: &str = "version";
const VERSION_TEXT: &str = "Directory Transport Version: 1.1\n";
const ROOT: &str = "manifest.json";

/// A directory with one image.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Opens a directory that holds an image.
    pub fn open(root: &Path) -> Result<Self> {
        let manifest = root.join(ROOT);
        std::fs::metadata(&manifest).map_err(|error| Error::io(&manifest, error))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Opens a directory to write to; it is made if it is not there. What another image left in it is replaced.
    pub fn create(root: &Path) -> Result<Self> {
        let version = root.join(VERSION);
        let occupied = std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
        if occupied && !version.exists() {
            return Err(Error::Options(format!(
                "{} is neither empty nor an image directory: choose another one",
                root.display()
            )));
        }
        std::fs::create_dir_all(root).map_err(|error| Error::io(root, error))?;
        // Until the new one is whole, there is no image here.
        match std::fs::remove_file(root.join(ROOT)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(&root.join(ROOT), error));
            }
            _ => {}
        }
        std::fs::write(&version, VERSION_TEXT).map_err(|error| Error::io(&version, error))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The name under which its image is put and found: any name is.
    #[must_use]
    pub fn root_name() -> ManifestName {
        ManifestName::Tag("image".to_owned())
    }

    fn read(&self, name: &ManifestName) -> Result<Resolved> {
        let root = self.document(&self.root.join(ROOT))?;
        match name {
            ManifestName::Tag(_) => Ok(root),
            ManifestName::Digest(digest) if *digest == root.descriptor.digest => Ok(root),
            ManifestName::Digest(digest) => {
                let path = self.child(digest);
                let bytes = self.document(&path)?.bytes;
                verify(&path.display().to_string(), digest, &bytes)?;
                resolved(&path, *digest, bytes)
            }
        }
    }

    fn document(&self, path: &Path) -> Result<Resolved> {
        let size = match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NotFound(path.display().to_string()));
            }
            metadata => metadata.map_err(|error| Error::io(path, error))?.len(),
        };
        if size > MANIFEST_LIMIT {
            return Err(Error::protocol(
                path.display(),
                format!("a manifest of {size} bytes, more than the {MANIFEST_LIMIT} allowed"),
            ));
        }
        let bytes = Bytes::from(std::fs::read(path).map_err(|error| Error::io(path, error))?);
        resolved(path, Digest::sha256(&bytes), bytes)
    }

    fn child(&self, digest: &Digest) -> PathBuf {
        self.root.join(format!("{}.{ROOT}", digest.hex()))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    fn has(&self, blob: &Descriptor) -> bool {
        std::fs::metadata(self.blob_path(&blob.digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == blob.size)
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        blocking("an image directory", move || work(&this)).await
    }
}

fn resolved(path: &Path, digest: Digest, bytes: Bytes) -> Result<Resolved> {
    let kind = decide_media_type(&path.display().to_string(), "", &bytes)?;
    Ok(Resolved {
        descriptor: Descriptor::new(kind, digest, bytes.len() as u64),
        bytes,
    })
}

impl Repository for Directory {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn head_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
    ) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let name = name.clone();
        self.on_thread(move |this| match this.read(&name) {
            Ok(found) => Ok(Some(found.descriptor)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        })
        .boxed()
    }

    fn manifest<'a>(&'a self, name: &'a ManifestName) -> BoxFuture<'a, Result<Resolved>> {
        let name = name.clone();
        self.on_thread(move |this| this.read(&name)).boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
        manifest: &'a Resolved,
    ) -> BoxFuture<'a, Result<()>> {
        let path = match name {
            ManifestName::Tag(_) => self.root.join(ROOT),
            ManifestName::Digest(digest) => self.child(digest),
        };
        let manifest = manifest.clone();
        self.on_thread(move |_| write_file(path, &manifest.descriptor.digest, &manifest.bytes))
            .boxed()
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<bool>> {
        let blob = blob.clone();
        self.on_thread(move |this| Ok(this.has(&blob))).boxed()
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, offset: u64) -> BoxFuture<'a, Result<ByteStream>> {
        let path = self.blob_path(&blob.digest);
        async move {
            let name = path.display().to_string();
            let file = blocking("opening a file", move || {
                std::fs::File::open(&path).map_err(|error| Error::io(&path, error))
            })
            .await?;
            Ok(read_file(file, offset, name))
        }
        .boxed()
    }

    fn put_blob<'a>(&'a self, upload: &'a BlobUpload) -> BoxFuture<'a, Result<Placed>> {
        async move {
            if self.has_blob(&upload.descriptor).await? {
                return Ok(Placed::Present);
            }
            receive_file(self.blob_path(&upload.descriptor.digest), upload).await
        }
        .boxed()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
