//! A blob as one stream that goes on where the network broke.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kiln_store::Descriptor;

use crate::content::{ByteStream, Repository};
use crate::error::{Error, Result};
use crate::transport::Backoff;

/// How often in a row a transfer may break without having moved on.
const FRUITLESS_ATTEMPTS: u32 = 5;

/// Waits before a broken transfer is taken up again.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(10),
};

/// Where a stream stands.
struct Position {
    repository: Arc<dyn Repository>,
    blob: Descriptor,
    at: u64,
    stream: Option<ByteStream>,
    fruitless: u32,
}

/// The bytes of a blob from `offset` on. An answer that is no for good is given at once; breaks, of the first request too, are mended.
pub(crate) async fn open(
    repository: Arc<dyn Repository>,
    blob: Descriptor,
    offset: u64,
) -> Result<ByteStream> {
    let stream = match repository.blob(&blob, offset).await {
        Err(error) if error.is_transient() => None,
        opened => Some(opened?),
    };
    let position = Position {
        repository,
        blob,
        at: offset,
        fruitless: u32::from(stream.is_none()),
        stream,
    };
    let pieces = stream::unfold(Some(position), |position| async {
        let mut position = position?;
        match position.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(position))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(pieces.boxed())
}

impl Position {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let error = match self.piece().await {
                Ok(Some(piece)) => {
                    self.fruitless = 0;
                    self.at += piece.len() as u64;
                    return Ok(Some(piece));
                }
                Ok(None) if self.at >= self.blob.size => return Ok(None),
                Ok(None) => Error::Network {
                    method: reqwest::Method::GET,
                    url: format!("blob {}", self.blob.digest),
                    reason: format!(
                        "the transfer ended after {} of {} bytes",
                        self.at, self.blob.size
                    ),
                    before_send: false,
                },
                Err(error) => error,
            };
            self.stream = None;
            self.fruitless += 1;
            if self.fruitless >= FRUITLESS_ATTEMPTS || !error.is_transient() {
                return Err(error);
            }
            tokio::time::sleep(BACKOFF.wait(self.fruitless)).await;
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.repository.blob(&self.blob, self.at).await?,
        };
        let piece = stream.next().await.transpose()?;
        self.stream = Some(stream);
        Ok(piece)
    }
}
