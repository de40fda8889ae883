//! An OCI image layout directory (image-spec image-layout.md), with the interface of a repository.
//!
//! ```text
//! oci-layout                  {"imageLayoutVersion":"1.0.0"}
//! index.json                  what the layout holds, with names in the annotation org.opencontainers.image.ref.name
//! blobs/<algorithm>/<hex>     manifests, configurations, layers
//! ```
//!
//! Files appear by rename, whole and verified. Who changes `index.json` holds a lock on `oci-layout`, so that several writers lose nothing.

mod blob;
mod index;

pub(crate) use blob::{receive_file, write_file};

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kiln_store::{Descriptor, Digest, MANIFEST_LIMIT};

use crate::content::{
    BlobUpload, ByteStream, Companions, ManifestName, Placed, Repository, Resolved,
};
use crate::error::{Error, Result};
use crate::listed;
use crate::remote::{decide_media_type, verify};
use crate::source::{blocking, read_file};
use crate::transport::Traffic;

/// The annotation that names an entry of `index.json`.
pub(crate) const NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// The file that makes a directory a layout.
const MARKER: &str = "oci-layout";

/// What stands in that file.
pub(crate) const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A layout directory.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Opens a layout that is there.
    pub fn open(root: &Path) -> Result<Self> {
        let marker = root.join(MARKER);
        let text = std::fs::read_to_string(&marker).map_err(|error| Error::io(&marker, error))?;
        let version = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|value| Some(value.get("imageLayoutVersion")?.as_str()?.to_owned()));
        match version {
            Some(version) if version.starts_with("1.") => Ok(Self {
                root: root.to_owned(),
            }),
            Some(version) => Err(Error::protocol(
                marker.display(),
                format!("kiln does not know version {version} of image layouts"),
            )),
            None => Err(Error::protocol(marker.display(), "this is no image layout")),
        }
    }

    /// Opens a layout, after making one if the directory is empty or not there.
    pub fn create(root: &Path) -> Result<Self> {
        let blobs = root.join("blobs/sha256");
        if !root.join(MARKER).exists() {
            // What a layout begins with is no obstacle: another process is making one, or was killed while it did.
            let occupied = std::fs::read_dir(root).is_ok_and(|entries| {
                let mut names = entries.flatten().map(|entry| entry.file_name());
                names.any(|name| !index::is_beginning(&name.to_string_lossy()))
            });
            if occupied {
                return Err(Error::Options(format!(
                    "{} is neither empty nor an image layout: choose another directory",
                    root.display()
                )));
            }
            std::fs::create_dir_all(&blobs).map_err(|error| Error::io(&blobs, error))?;
            index::write_new(root)?;
            index::appear(root, MARKER, MARKER_CONTENT)?;
        }
        Self::open(root)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the layout holds: descriptors with their names, if they have one.
    pub fn entries(&self) -> Result<Vec<(Option<String>, Descriptor)>> {
        let entries = index::read(&self.root)?.manifests;
        Ok(entries
            .into_iter()
            .map(|entry| (entry.annotation(NAME_ANNOTATION).map(str::to_owned), entry))
            .collect())
    }

    /// The name of the only image in it; an error that lists the names if there are several.
    pub fn only(&self) -> Result<ManifestName> {
        listed::only(&self.root.display().to_string(), &self.entries()?)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root
            .join("blobs")
            .join(digest.algorithm().name())
            .join(digest.hex())
    }

    /// The entry of a name, or content by its digest.
    fn find(&self, name: &ManifestName) -> Result<Option<Descriptor>> {
        let entries = self.entries()?;
        let found = entries.into_iter().find(|(known, entry)| match name {
            ManifestName::Tag(tag) => known.as_deref() == Some(tag),
            ManifestName::Digest(digest) => entry.digest == *digest,
        });
        if let Some((_, entry)) = found {
            return Ok(Some(entry));
        }
        let ManifestName::Digest(digest) = name else {
            return Ok(None);
        };
        match self.read_manifest(digest) {
            Ok(resolved) => Ok(Some(resolved.descriptor)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_manifest(&self, digest: &Digest) -> Result<Resolved> {
        let path = self.blob_path(digest);
        let what = path.display().to_string();
        let size = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotFound(format!(
                    "{digest} in {}",
                    self.root.display()
                )));
            }
            metadata => metadata.map_err(|error| Error::io(&path, error))?.len(),
        };
        if size > MANIFEST_LIMIT {
            return Err(Error::protocol(
                what,
                format!("a manifest of {size} bytes, more than the {MANIFEST_LIMIT} allowed"),
            ));
        }
        let bytes = Bytes::from(std::fs::read(&path).map_err(|error| Error::io(&path, error))?);
        verify(&what, digest, &bytes)?;
        let kind = decide_media_type(&what, "", &bytes)?;
        Ok(Resolved {
            descriptor: Descriptor::new(kind, *digest, bytes.len() as u64),
            bytes,
        })
    }

    fn read_named(&self, name: &ManifestName) -> Result<Resolved> {
        match name {
            ManifestName::Digest(digest) => self.read_manifest(digest),
            ManifestName::Tag(tag) => {
                let entry = self
                    .find(name)?
                    .ok_or_else(|| Error::NotFound(format!("{tag} in {}", self.root.display())))?;
                self.read_manifest(&entry.digest)
            }
        }
    }

    fn write_manifest(&self, name: &ManifestName, manifest: &Resolved) -> Result<()> {
        self.write_bytes(&manifest.descriptor.digest, &manifest.bytes)?;
        index::change(&self.root, |index| listed::enter(index, name, manifest))
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        blocking(what, move || work(&this)).await
    }
}

impl Repository for Layout {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn head_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
    ) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let name = name.clone();
        self.on_thread("reading a layout", move |this| this.find(&name))
            .boxed()
    }

    fn manifest<'a>(&'a self, name: &'a ManifestName) -> BoxFuture<'a, Result<Resolved>> {
        let name = name.clone();
        self.on_thread("reading a layout", move |this| this.read_named(&name))
            .boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
        manifest: &'a Resolved,
    ) -> BoxFuture<'a, Result<()>> {
        let (name, manifest) = (name.clone(), manifest.clone());
        self.on_thread("writing a layout", move |this| {
            this.write_manifest(&name, &manifest)
        })
        .boxed()
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<bool>> {
        let blob = blob.clone();
        self.on_thread("reading a layout", move |this| Ok(this.has(&blob)))
            .boxed()
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
        self.receive(upload).boxed()
    }

    fn companions<'a>(&'a self, subjects: &'a [Digest]) -> BoxFuture<'a, Result<Companions>> {
        let subjects = subjects.to_vec();
        self.on_thread("reading a layout", move |this| {
            listed::companions(&this.entries()?, &subjects, |digest| {
                this.read_manifest(digest)
            })
        })
        .boxed()
    }

    fn keeps_companions(&self) -> bool {
        true
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
