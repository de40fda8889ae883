//! An archive as a repository to write to: one entry after the other, the lists at the end.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use kiln_store::{
    Descriptor, Digest, Hasher, Index, Manifest, ManifestKind, Platform, Reference, media_type,
};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::content::{BlobUpload, ByteStream, ManifestName, Placed, Repository, Resolved};
use crate::error::{Error, Result};
use crate::layout::{MARKER_CONTENT, NAME_ANNOTATION};
use crate::listed;
use crate::remote::verify;
use crate::source::blocking;
use crate::transport::Traffic;

use super::WHOLE_NAME;
use super::docker::DockerImage;
use super::output::Output;

/// Pieces that wait for the disk.
const PIECES_AHEAD: usize = 4;

/// What an archive holds besides the image layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveStyle {
    /// Nothing.
    Oci,
    /// Docker's list, so that every docker loads it. Its names are whole references.
    Docker,
}

/// An archive in the making. Nothing of it is to be relied on before [`ArchiveWriter::finish`].
#[derive(Clone)]
pub struct ArchiveWriter {
    name: String,
    style: ArchiveStyle,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    /// Taken while a thread writes; gone for good when writing failed, as the archive ends in the middle of an entry then.
    output: Option<Output>,
    blobs: BTreeMap<Digest, u64>,
    documents: BTreeMap<Digest, Resolved>,
    index: Index,
}

impl std::fmt::Debug for ArchiveWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveWriter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ArchiveWriter {
    /// Writes to a file, which appears when it is finished and replaces what had its name.
    pub fn create(path: &Path, style: ArchiveStyle) -> Result<Self> {
        Self::begin(path.display().to_string(), Output::file(path)?, style)
    }

    /// Writes to a stream.
    pub fn stream(name: &str, stream: Box<dyn Write + Send>, style: ArchiveStyle) -> Result<Self> {
        Self::begin(name.to_owned(), Output::stream(name, stream), style)
    }

    fn begin(name: String, mut output: Output, style: ArchiveStyle) -> Result<Self> {
        output.put("oci-layout", MARKER_CONTENT)?;
        output.directory("blobs/")?;
        output.directory("blobs/sha256/")?;
        let inner = Inner {
            output: Some(output),
            blobs: BTreeMap::new(),
            documents: BTreeMap::new(),
            index: Index::new(ManifestKind::Oci, Vec::new()),
        };
        Ok(Self {
            name,
            style,
            inner: Arc::new(Mutex::new(inner)),
        })
    }

    /// Writes the lists and ends the archive.
    pub async fn finish(self) -> Result<()> {
        let mut inner = self.inner.lock().await;
        let mut output = inner.output.take().ok_or_else(|| self.broken())?;
        let index = inner.index.to_bytes()?;
        let list = match self.style {
            ArchiveStyle::Oci => None,
            ArchiveStyle::Docker => Some(inner.docker_list()?),
        };
        drop(inner);
        blocking("writing an archive", move || {
            output.put("index.json", &index)?;
            if let Some(list) = list {
                output.put("manifest.json", &list)?;
            }
            output.finish()
        })
        .await
    }

    fn broken(&self) -> Error {
        Error::Interrupted(format!("writing {}", self.name))
    }

    async fn put_bytes(&self, inner: &mut Inner, document: &Resolved) -> Result<()> {
        let digest = document.descriptor.digest;
        if inner.blobs.contains_key(&digest) {
            return Ok(());
        }
        verify(&format!("manifest {digest}"), &digest, &document.bytes)?;
        let mut output = inner.output.take().ok_or_else(|| self.broken())?;
        let bytes = document.bytes.clone();
        let output = blocking("writing an archive", move || {
            output.put(&entry(&digest), &bytes)?;
            Ok(output)
        })
        .await?;
        inner.output = Some(output);
        inner.blobs.insert(digest, document.descriptor.size);
        Ok(())
    }

    async fn receive(&self, upload: &BlobUpload) -> Result<Placed> {
        let descriptor = upload.descriptor.clone();
        let mut inner = self.inner.lock().await;
        if inner.blobs.contains_key(&descriptor.digest) {
            return Ok(Placed::Present);
        }
        // Opened first: a source that is not there leaves the archive as it was.
        let mut stream = upload.source.open(0).await?;
        let mut output = inner.output.take().ok_or_else(|| self.broken())?;
        let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES_AHEAD);
        let (finish, finished) = oneshot::channel::<()>();
        let blob = descriptor.clone();
        let write = blocking("writing an archive", move || {
            output.begin(&entry(&blob.digest), blob.size)?;
            let mut checked = Checked::new(&blob);
            while let Some(piece) = receiver.blocking_recv() {
                checked.take(&piece)?;
                output.write(&piece)?;
            }
            if finished.blocking_recv().is_err() {
                return Err(Error::Interrupted("writing an archive".to_owned()));
            }
            checked.finish()?;
            output.pad(blob.size)?;
            Ok(output)
        });
        let read = async move {
            while let Some(piece) = stream.next().await {
                if sender.send(piece?).await.is_err() {
                    return Err(Error::Interrupted("writing an archive".to_owned()));
                }
            }
            // A writer that is gone has an error of its own.
            let _ = finish.send(());
            Ok(())
        };
        let output = match tokio::join!(read, write) {
            (_, Ok(output)) => output,
            (Err(error), Err(Error::Interrupted(_))) | (_, Err(error)) => return Err(error),
        };
        inner.output = Some(output);
        inner.blobs.insert(descriptor.digest, descriptor.size);
        Ok(Placed::Sent)
    }

    async fn enter(&self, name: &ManifestName, manifest: &Resolved) -> Result<()> {
        let mut inner = self.inner.lock().await;
        self.put_bytes(&mut inner, manifest).await?;
        inner
            .documents
            .insert(manifest.descriptor.digest, manifest.clone());
        let whole = match (self.style, name) {
            (ArchiveStyle::Docker, ManifestName::Tag(tag)) => tag.parse::<Reference>().ok(),
            _ => None,
        };
        let Some(whole) = whole else {
            listed::enter(&mut inner.index, name, manifest);
            return Ok(());
        };
        // Two images may have the same tag, as long as their whole names differ.
        let whole = whole.with_default_tag();
        let mut entry = manifest.descriptor.clone();
        let notes = entry.annotations.get_or_insert_default();
        notes.insert(WHOLE_NAME.to_owned(), whole.to_string());
        notes.insert(
            NAME_ANNOTATION.to_owned(),
            whole.tag().unwrap_or("latest").to_owned(),
        );
        let index = &mut inner.index.manifests;
        index.retain(|known| known.annotation(WHOLE_NAME) != entry.annotation(WHOLE_NAME));
        let children = listed::children(manifest);
        index.retain(|known| {
            let covered = known.digest == entry.digest || children.contains(&known.digest);
            !covered || known.annotation(NAME_ANNOTATION).is_some()
        });
        index.push(entry);
        Ok(())
    }
}

impl Inner {
    /// Docker's list of the images.
    fn docker_list(&self) -> Result<Vec<u8>> {
        let mut list: Vec<(Digest, DockerImage)> = Vec::new();
        for entry in &self.index.manifests {
            let Some((digest, manifest)) = self.image_of(&entry.digest) else {
                continue;
            };
            let name = entry
                .annotation(WHOLE_NAME)
                .and_then(|name| name.parse::<Reference>().ok())
                .map(|name| name.familiar());
            if let Some((_, known)) = list.iter_mut().find(|(known, _)| *known == digest) {
                known.repo_tags.get_or_insert_default().extend(name);
                continue;
            }
            let image = DockerImage {
                config: self::entry(&manifest.config.digest),
                repo_tags: name.map(|name| vec![name]),
                layers: Some(
                    manifest
                        .layers
                        .iter()
                        .map(|layer| self::entry(&layer.digest))
                        .collect(),
                ),
            };
            list.push((digest, image));
        }
        let list: Vec<DockerImage> = list.into_iter().map(|(_, image)| image).collect();
        serde_json::to_vec(&list).map_err(|error| {
            Error::protocol("manifest.json", format!("it cannot be written: {error}"))
        })
    }

    /// The image that docker sees in an entry: itself, or of an index the one for this machine or else the first. Artifacts are none.
    fn image_of(&self, digest: &Digest) -> Option<(Digest, Manifest)> {
        let document = self.documents.get(digest)?;
        if media_type::is_index(&document.descriptor.media_type) {
            let index: Index = serde_json::from_slice(&document.bytes).ok()?;
            let (entries, platforms): (Vec<_>, Vec<_>) = index.images().unzip();
            let position = Platform::host().best_match(&platforms).unwrap_or(0);
            return self.image_of(&entries.get(position)?.digest);
        }
        let manifest: Manifest = serde_json::from_slice(&document.bytes).ok()?;
        let is_image = media_type::is_image_config(&manifest.config.media_type);
        is_image.then_some((*digest, manifest))
    }
}

/// The entry of a blob.
fn entry(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Checks content while it passes.
struct Checked {
    blob: Descriptor,
    hasher: Hasher,
    size: u64,
}

impl Checked {
    fn new(blob: &Descriptor) -> Self {
        Self {
            blob: blob.clone(),
            hasher: Hasher::new(blob.digest.algorithm()),
            size: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        if self.size > self.blob.size {
            return self.corrupt(format!("{} bytes", self.blob.size), "more".to_owned());
        }
        self.hasher.update(bytes);
        Ok(())
    }

    fn finish(self) -> Result<()> {
        if self.size != self.blob.size {
            return self.corrupt(format!("{} bytes", self.blob.size), self.size.to_string());
        }
        let actual = self.hasher.clone().finish();
        if actual != self.blob.digest {
            return self.corrupt(self.blob.digest.to_string(), actual.to_string());
        }
        Ok(())
    }

    fn corrupt(&self, expected: String, actual: String) -> Result<()> {
        Err(Error::Corrupt {
            what: format!("blob {}", self.blob.digest),
            expected,
            actual,
        })
    }
}

impl Repository for ArchiveWriter {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn head_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
    ) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        async move {
            let inner = self.inner.lock().await;
            let found = match name {
                ManifestName::Digest(digest) => inner.documents.get(digest),
                // A name is written once, at the end of a copy.
                ManifestName::Tag(_) => None,
            };
            Ok(found.map(|document| document.descriptor.clone()))
        }
        .boxed()
    }

    fn manifest<'a>(&'a self, name: &'a ManifestName) -> BoxFuture<'a, Result<Resolved>> {
        async move {
            let inner = self.inner.lock().await;
            let found = match name {
                ManifestName::Digest(digest) => inner.documents.get(digest).cloned(),
                ManifestName::Tag(_) => None,
            };
            found.ok_or_else(|| Error::NotFound(format!("{name} in {}", self.name)))
        }
        .boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
        manifest: &'a Resolved,
    ) -> BoxFuture<'a, Result<()>> {
        self.enter(name, manifest).boxed()
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<bool>> {
        async move { Ok(self.inner.lock().await.blobs.contains_key(&blob.digest)) }.boxed()
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, _: u64) -> BoxFuture<'a, Result<ByteStream>> {
        let error = Error::NotFound(format!(
            "blob {} in {}, which is being written,",
            blob.digest, self.name
        ));
        std::future::ready(Err(error)).boxed()
    }

    fn put_blob<'a>(&'a self, upload: &'a BlobUpload) -> BoxFuture<'a, Result<Placed>> {
        self.receive(upload).boxed()
    }

    fn keeps_companions(&self) -> bool {
        self.style == ArchiveStyle::Oci
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
