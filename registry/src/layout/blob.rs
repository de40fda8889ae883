//! Blobs of a layout: written beside their place, verified, renamed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use kiln_store::{Descriptor, Digest, Hasher};
use tokio::sync::mpsc;

use crate::content::{BlobUpload, Placed};
use crate::error::{Error, Result};
use crate::source::blocking;

use super::Layout;

/// Pieces that wait for the disk.
const PIECES_AHEAD: usize = 4;

/// Tells the files in the making of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Layout {
    /// Whether a blob of the right size is there; its content was checked when it was written.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        std::fs::metadata(self.blob_path(&blob.digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == blob.size)
    }

    /// Writes a small blob.
    pub(super) fn write_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        write_file(self.blob_path(digest), digest, bytes)
    }

    /// Takes a blob in from its source.
    pub(super) async fn receive(&self, upload: &BlobUpload) -> Result<Placed> {
        let descriptor = upload.descriptor.clone();
        let (this, wanted) = (self.clone(), descriptor.clone());
        if blocking("reading a layout", move || Ok(this.has(&wanted))).await? {
            return Ok(Placed::Present);
        }
        receive_file(self.blob_path(&descriptor.digest), upload).await
    }
}

/// Writes a small file, verified, that appears whole.
pub(crate) fn write_file(place: PathBuf, digest: &Digest, bytes: &[u8]) -> Result<()> {
    let mut incoming = Incoming::new(place, *digest)?;
    incoming.put(bytes)?;
    incoming.finish(bytes.len() as u64)
}

/// Takes a blob into a file that appears whole and verified.
pub(crate) async fn receive_file(path: PathBuf, upload: &BlobUpload) -> Result<Placed> {
    let descriptor = upload.descriptor.clone();
    let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES_AHEAD);
    let digest = descriptor.digest;
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let write = blocking("writing a layout", move || {
        let mut incoming = Incoming::new(path, digest)?;
        while let Some(piece) = receiver.blocking_recv() {
            incoming.put(&piece)?;
        }
        match finished.blocking_recv() {
            Ok(()) => incoming.finish(descriptor.size),
            // The source failed; its error says why.
            Err(_) => Err(Error::Interrupted("writing a layout".to_owned())),
        }
    });
    let read = async move {
        let mut stream = upload.source.open(0).await?;
        while let Some(piece) = stream.next().await {
            if sender.send(piece?).await.is_err() {
                return Err(Error::Interrupted("writing a layout".to_owned()));
            }
        }
        // A writer that is gone has an error of its own.
        let _ = finish.send(());
        Ok(())
    };
    match tokio::join!(read, write) {
        (_, Ok(())) => Ok(Placed::Sent),
        (Err(error), Err(Error::Interrupted(_))) | (_, Err(error)) => Err(error),
    }
}

/// A file in the making; dropped before its end it leaves nothing.
struct Incoming {
    making: PathBuf,
    place: PathBuf,
    file: File,
    hasher: Hasher,
    digest: Digest,
    size: u64,
}

impl Incoming {
    fn new(place: PathBuf, digest: Digest) -> Result<Self> {
        let parent = place.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let making = parent.join(format!(".{}.{}.{number}", digest.hex(), std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&making)
            .map_err(|error| Error::io(&making, error))?;
        Ok(Self {
            making,
            place,
            file,
            hasher: Hasher::new(digest.algorithm()),
            digest,
            size: 0,
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| Error::io(&self.making, error))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(self, size: u64) -> Result<()> {
        let corrupt = |expected: String, actual: String| {
            Err(Error::Corrupt {
                what: format!("blob {}", self.digest),
                expected,
                actual,
            })
        };
        if self.size != size {
            return corrupt(format!("{size} bytes"), self.size.to_string());
        }
        let actual = self.hasher.clone().finish();
        if actual != self.digest {
            return corrupt(self.digest.to_string(), actual.to_string());
        }
        std::fs::rename(&self.making, &self.place).map_err(|error| Error::io(&self.place, error))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After the rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.making);
    }
}
