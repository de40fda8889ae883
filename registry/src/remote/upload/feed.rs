//! Content that is read piece by piece for the requests of one upload.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::content::{BlobSource, ByteStream};
use crate::error::Result;

/// One reader for all pieces: a source that is itself a transfer is not opened anew for each of them.
#[derive(Clone)]
pub(super) struct Feed {
    source: Arc<dyn BlobSource>,
    reader: Arc<Mutex<Reader>>,
}

/// Where the reader is. The stream is lost while nobody holds it past an error.
#[derive(Default)]
struct Reader {
    position: u64,
    stream: Option<ByteStream>,
    /// What was read beyond the end of a piece.
    left: Bytes,
}

/// A piece of the content: from `offset`, `length` bytes.
#[derive(Clone)]
pub(super) struct Part {
    feed: Feed,
    offset: u64,
    length: u64,
}

impl Feed {
    pub(super) fn new(source: Arc<dyn BlobSource>) -> Self {
        Self {
            source,
            reader: Arc::default(),
        }
    }

    pub(super) fn part(&self, offset: u64, length: u64) -> Part {
        Part {
            feed: self.clone(),
            offset,
            length,
        }
    }

    async fn read(&self, offset: u64, length: u64) -> Result<ByteStream> {
        let mut reader = self.reader.clone().lock_owned().await;
        if reader.stream.is_none() || reader.position != offset {
            // Before the next one is opened: what it read from may serve one reader at a time.
            *reader = Reader::default();
            reader.stream = Some(self.source.open(offset).await?);
            reader.position = offset;
        }
        Ok(stream::unfold((reader, length), next).boxed())
    }
}

/// The next bytes of a piece.
async fn next(
    (mut reader, wanted): (OwnedMutexGuard<Reader>, u64),
) -> Option<(Result<Bytes>, (OwnedMutexGuard<Reader>, u64))> {
    if wanted == 0 {
        return None;
    }
    let mut bytes = std::mem::take(&mut reader.left);
    while bytes.is_empty() {
        match reader.stream.as_mut()?.next().await {
            Some(Ok(piece)) => bytes = piece,
            Some(Err(error)) => {
                reader.stream = None;
                return Some((Err(error), (reader, 0)));
            }
            None => {
                reader.stream = None;
                return None;
            }
        }
    }
    if bytes.len() as u64 > wanted {
        // `wanted` is smaller than a length in memory.
        reader.left = bytes.split_off(wanted as usize);
    }
    reader.position += bytes.len() as u64;
    let left = wanted - bytes.len() as u64;
    Some((Ok(bytes), (reader, left)))
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes from {} of {:?}",
            self.length, self.offset, self.feed.source
        )
    }
}

impl BlobSource for Part {
    fn size(&self) -> u64 {
        self.length
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<ByteStream>> {
        let length = self.length.saturating_sub(offset);
        self.feed.read(self.offset + offset, length).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::BytesBlob;
    use futures_util::TryStreamExt;

    async fn read(part: &Part) -> Vec<u8> {
        let stream = part.open(0).await.unwrap();
        stream
            .try_fold(Vec::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn pieces_in_any_order() {
        let bytes: Vec<u8> = (0..100).collect();
        let feed = Feed::new(Arc::new(BytesBlob(Bytes::from(bytes.clone()))));
        for (offset, length) in [
            (0, 10),
            (10, 30),
            (40, 60),
            (20, 5),
            (25, 75),
            (0, 100),
            (100, 0),
        ] {
            let part = feed.part(offset, length);
            let range = offset as usize..(offset + length) as usize;
            assert_eq!(read(&part).await, bytes[range], "{offset} {length}");
        }
    }
}
