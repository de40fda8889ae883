//! The bytes of a blob, from a network that breaks to a reader that must not notice.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use kiln_store::{Descriptor, Digest};
use tokio::sync::mpsc;

use crate::content::{ByteStream, Repository};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::transport::Backoff;

/// Pieces that wait for the reader. A piece is what the network gave at once, up to 400 KiB: four keep the reader busy and the memory small.
const PIECES_AHEAD: usize = 4;

/// How often in a row a transfer may break without having moved on.
const FRUITLESS_ATTEMPTS: u32 = 5;

/// What a transfer must move between two breaks to count as going on. A server that always breaks off after a few bytes would never be given up.
const LEAST_PROGRESS: u64 = 64 << 10;

/// The first wait before a broken transfer is taken up again.
const BACKOFF: Backoff = Backoff {
    first: std::time::Duration::from_millis(100),
    longest: std::time::Duration::from_secs(10),
};

/// The end of a pipe that bytes are put into.
#[derive(Debug)]
pub(crate) struct Pipe(mpsc::Sender<Piece>);

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    /// The end of the content, which differs from the end of the sender.
    End,
}

/// The end of a pipe that a blocking thread reads from.
#[derive(Debug)]
pub(crate) struct PipeReader {
    receiver: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Pipe {
    pub(crate) fn new() -> (Self, PipeReader) {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        (
            Self(sender),
            PipeReader {
                receiver,
                current: Bytes::new(),
                ended: false,
            },
        )
    }

    async fn put(&self, piece: Piece) -> Result<()> {
        self.0
            .send(piece)
            .await
            .map_err(|_| Error::Interrupted("unpacking a layer".to_owned()))
    }

    pub(super) async fn put_data(&self, bytes: Bytes) -> Result<()> {
        self.put(Piece::Data(bytes)).await
    }

    pub(super) async fn put_end(&self) -> Result<()> {
        self.put(Piece::End).await
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Piece::Data(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the transfer was interrupted",
                    ));
                }
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// How often one transfer has broken without moving on.
#[derive(Debug, Default)]
pub(super) struct Patience {
    fruitless: u32,
}

impl Patience {
    /// Waits before a transfer is taken up again that broke after so many bytes; the error itself, if that is the last word.
    pub(super) async fn after_break(
        &mut self,
        blob: &Descriptor,
        gained: u64,
        error: Error,
        events: Events<'_>,
    ) -> Result<()> {
        self.fruitless = if gained >= LEAST_PROGRESS {
            1
        } else {
            self.fruitless + 1
        };
        if self.fruitless >= FRUITLESS_ATTEMPTS || !error.is_transient() {
            return Err(error);
        }
        events(Event::Retrying {
            what: format!("blob {}", blob.digest),
            reason: error.to_string(),
        });
        tokio::time::sleep(BACKOFF.wait(self.fruitless)).await;
        Ok(())
    }
}

/// The error of a stream that ended after `moved` bytes of the blob.
pub(super) fn ended_early(blob: &Descriptor, moved: u64) -> Error {
    Error::Network {
        method: reqwest::Method::GET,
        url: format!("blob {}", blob.digest),
        reason: format!("the transfer ended after {moved} of {} bytes", blob.size),
        before_send: false,
    }
}

/// Puts a blob into a pipe from its byte `moved` on, beginning with a stream that is open already; breaks are mended by asking for the rest.
pub(crate) async fn pump(
    repository: &dyn Repository,
    blob: &Descriptor,
    mut moved: u64,
    first: ByteStream,
    pipe: Pipe,
    events: Events<'_>,
) -> Result<()> {
    let mut stream = Ok(first);
    let mut patience = Patience::default();
    loop {
        let before = moved;
        let error = match stream {
            Ok(stream) => match run(stream, blob, &mut moved, &pipe, events).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        patience
            .after_break(blob, moved - before, error, events)
            .await?;
        stream = repository.blob(blob, moved).await;
    }
}

/// Moves what one stream gives. Ok when the whole blob is through.
async fn run(
    mut stream: ByteStream,
    blob: &Descriptor,
    moved: &mut u64,
    pipe: &Pipe,
    events: Events<'_>,
) -> Result<()> {
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        *moved += piece.len() as u64;
        if *moved > blob.size {
            return Err(Error::Corrupt {
                what: format!("blob {}", blob.digest),
                expected: format!("{} bytes", blob.size),
                actual: "more".to_owned(),
            });
        }
        pipe.put_data(piece).await?;
        events(Event::BlobProgress {
            digest: blob.digest,
            moved: *moved,
        });
    }
    if *moved < blob.size {
        return Err(ended_early(blob, *moved));
    }
    pipe.put_end().await
}

/// A small blob in memory, verified.
pub(super) async fn fetch_small(
    repository: &dyn Repository,
    blob: &Descriptor,
    limit: u64,
) -> Result<Vec<u8>> {
    if blob.size > limit {
        return Err(Error::protocol(
            format!("blob {}", blob.digest),
            format!(
                "it has {} bytes, more than the {limit} that are read at once",
                blob.size
            ),
        ));
    }
    let mut attempt = 1;
    loop {
        let error = match read_all(repository, blob).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        if attempt >= FRUITLESS_ATTEMPTS || !error.is_transient() {
            return Err(error);
        }
        tokio::time::sleep(BACKOFF.wait(attempt)).await;
        attempt += 1;
    }
}

async fn read_all(repository: &dyn Repository, blob: &Descriptor) -> Result<Vec<u8>> {
    let mut stream = repository.blob(blob, 0).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() as u64 > blob.size {
            break;
        }
    }
    super::check_size("blob", blob, bytes.len() as u64)?;
    let actual = Digest::of(blob.digest.algorithm(), &bytes);
    if actual != blob.digest {
        return Err(Error::Corrupt {
            what: format!("blob {}", blob.digest),
            expected: blob.digest.to_string(),
            actual: actual.to_string(),
        });
    }
    Ok(bytes)
}
