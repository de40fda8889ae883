//! Content to send: from memory, from a file, from another repository.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use kiln_store::{Descriptor, Digest, Store};
use tokio::sync::mpsc;

use crate::content::{BlobSource, ByteStream, Repository};
use crate::error::{Error, Result};
use crate::resume;

/// How much is read from a file at once. Larger pieces do not move faster and hold more memory for each transfer.
pub(crate) const PIECE: usize = 256 << 10;

/// Pieces that wait between a reader and the network: one being filled, one being sent.
const PIECES_AHEAD: usize = 2;

/// Content in memory.
#[derive(Clone, Debug)]
pub struct BytesBlob(pub Bytes);

impl BlobSource for BytesBlob {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let rest = self.0.slice(start..);
        async move { Ok(stream::once(async move { Ok(rest) }).boxed()) }.boxed()
    }
}

/// A blob of the content store.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    /// The store.
    pub store: Store,
    /// The blob.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

impl BlobSource for StoredBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>> {
        let (store, digest) = (self.store.clone(), self.digest);
        let name = digest.to_string();
        async move {
            let file = blocking("opening a blob", move || Ok(store.open_blob(&digest)?)).await?;
            Ok(read_file(file, offset, name))
        }
        .boxed()
    }
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileBlob {
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub size: u64,
}

impl BlobSource for FileBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>> {
        let path = self.path.clone();
        let name = path.display().to_string();
        async move {
            let file = blocking("opening a file", move || {
                File::open(&path).map_err(|error| Error::io(&path, error))
            })
            .await?;
            Ok(read_file(file, offset, name))
        }
        .boxed()
    }
}

/// A blob of another repository.
#[derive(Clone, Debug)]
pub struct RepositoryBlob {
    /// Where it is.
    pub repository: Arc<dyn Repository>,
    /// The blob.
    pub descriptor: Descriptor,
}

impl BlobSource for RepositoryBlob {
    fn size(&self) -> u64 {
        self.descriptor.size
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>> {
        resume::open(self.repository.clone(), self.descriptor.clone(), offset).boxed()
    }
}

/// A file without a name, deleted when the last of its readers is gone.
#[derive(Clone, Debug)]
pub(crate) struct SpooledBlob {
    /// The file.
    pub(crate) file: Arc<File>,
    /// Where the content begins in it.
    pub(crate) start: u64,
    /// Its size.
    pub(crate) size: u64,
    /// What it is, for messages.
    pub(crate) name: String,
}

impl BlobSource for SpooledBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>> {
        let stream = read_part(
            self.file.clone(),
            self.start.saturating_add(offset),
            self.size.saturating_sub(offset),
            self.name.clone(),
        );
        std::future::ready(Ok(stream)).boxed()
    }
}

/// Content that tells how far it has been read.
#[derive(Debug)]
pub(crate) struct CountedBlob {
    inner: Arc<dyn BlobSource>,
    read: Arc<AtomicU64>,
}

impl CountedBlob {
    /// The content, and the number of its bytes read so far; it goes back when reading begins again.
    pub(crate) fn new(inner: Arc<dyn BlobSource>) -> (Self, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        (
            Self {
                inner,
                read: read.clone(),
            },
            read,
        )
    }
}

impl BlobSource for CountedBlob {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>> {
        let read = self.read.clone();
        read.store(offset, Ordering::Relaxed);
        async move {
            let stream = self.inner.open(offset).await?;
            let counted = stream.inspect(move |piece| {
                if let Ok(piece) = piece {
                    read.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
            });
            Ok(counted.boxed())
        }
        .boxed()
    }
}

/// Reads a file on a blocking thread, a few pieces ahead of who sends them. The thread ends when the stream is dropped.
pub(crate) fn read_file(mut file: File, offset: u64, name: String) -> ByteStream {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let failed = |source| {
            Err(Error::Io {
                path: name.clone(),
                source,
            })
        };
        if let Err(error) = file.seek(SeekFrom::Start(offset)) {
            // A receiver that is gone needs no error.
            let _ = sender.blocking_send(failed(error));
            return;
        }
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            match file.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
                Ok(0) => return,
                Ok(_) if sender.blocking_send(Ok(Bytes::from(piece))).is_ok() => {}
                Ok(_) => return,
                Err(error) => {
                    let _ = sender.blocking_send(failed(error));
                    return;
                }
            }
        }
    });
    receive(receiver)
}

/// Reads a part of a file that others read as well, on a blocking thread. The thread ends when the stream is dropped.
pub(crate) fn read_part(file: Arc<File>, start: u64, length: u64, name: String) -> ByteStream {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut at = start;
        let end = start.saturating_add(length);
        while at < end {
            // A piece is far smaller than the address space.
            let mut piece = vec![0; (end - at).min(PIECE as u64) as usize];
            let read = match file.read_at(&mut piece, at) {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read,
            };
            let piece = read.map(|length| {
                at += length as u64;
                piece.truncate(length);
                Bytes::from(piece)
            });
            let failed = piece.is_err();
            let piece = piece.map_err(|source| Error::Io {
                path: name.clone(),
                source,
            });
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    receive(receiver)
}

/// A channel as a stream.
pub(crate) fn receive(receiver: mpsc::Receiver<Result<Bytes>>) -> ByteStream {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
    .boxed()
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::Interrupted(what.to_owned())),
    }
}
