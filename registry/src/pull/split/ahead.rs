//! A part that is fetched before its turn: into a file beside the download, from which it is read when its turn comes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use kiln_store::{Descriptor, DownloadPart};
use tokio::sync::watch;

use crate::content::{Part, Repository, Turn};
use crate::error::Result;
use crate::event::Events;
use crate::source::{PIECE, blocking};

use super::super::stream::{Patience, ended_early};
use super::Received;

/// How far a part has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) got: u64,
    /// True when nothing more will come.
    pub(super) over: bool,
}

/// A part that is fetched by one task and read by another.
#[derive(Debug)]
pub(super) struct Ahead {
    file: Arc<DownloadPart>,
    progress: watch::Sender<Progress>,
}

impl Ahead {
    /// A part to be fetched; one that was left by an earlier pull is `over`, to be read as far as it came.
    pub(super) fn new(file: DownloadPart, over: bool) -> Arc<Self> {
        let got = file.found();
        Arc::new(Self {
            file: Arc::new(file),
            progress: watch::Sender::new(Progress { got, over }),
        })
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.file.range()
    }

    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Whether it has the byte of the blob at `position`, or will have it.
    pub(super) fn covers(&self, position: u64) -> bool {
        let Progress { got, over } = self.progress();
        let end = if over {
            self.range().start + got
        } else {
            self.range().end
        };
        (self.range().start..end).contains(&position)
    }

    /// Bytes from a position within the part.
    pub(super) async fn read(&self, position: u64) -> Result<Bytes> {
        let file = self.file.clone();
        blocking("reading a part of a layer", move || {
            let mut bytes = vec![0; PIECE];
            let length = file.read_at(position, &mut bytes)?;
            bytes.truncate(length);
            Ok(bytes.into())
        })
        .await
    }

    /// Ends fetching it.
    pub(super) fn stop(&self) {
        self.progress.send_modify(|progress| progress.over = true);
    }

    /// Removes its file.
    pub(super) async fn remove(&self) -> Result<()> {
        let file = self.file.clone();
        blocking("removing a part of a layer", move || Ok(file.remove()?)).await
    }

    /// Fetches it. A break is mended by asking for what is missing of this part; what cannot be had is left to whoever reads it.
    pub(super) async fn fetch(
        self: Arc<Self>,
        repository: &dyn Repository,
        blob: &Descriptor,
        received: &Received,
        events: Events<'_>,
    ) {
        let mut patience = Patience::default();
        loop {
            let before = self.progress().got;
            let Err(error) = self.fetch_once(repository, blob, received).await else {
                break;
            };
            let gained = self.progress().got - before;
            if patience
                .after_break(blob, gained, error, events)
                .await
                .is_err()
            {
                break;
            }
        }
        self.stop();
    }

    async fn fetch_once(
        &self,
        repository: &dyn Repository,
        blob: &Descriptor,
        received: &Received,
    ) -> Result<()> {
        let Range { start, end } = self.range();
        let missing = start + self.progress().got..end;
        let part = repository.blob_part(blob, missing, Turn::Ahead).await?;
        let Part::Exact(mut stream) = part else {
            return Ok(());
        };
        while let Some(piece) = stream.next().await {
            let mut piece = piece?;
            if self.progress().over {
                return Ok(());
            }
            let got = self.progress().got;
            // More than the part is not wanted from here.
            piece.truncate(usize::try_from(end - start - got).unwrap_or(usize::MAX));
            received.add(piece.len());
            let length = piece.len() as u64;
            let file = self.file.clone();
            blocking("writing a part of a layer", move || {
                Ok(file.write_at(got, &piece)?)
            })
            .await?;
            self.progress.send_modify(|progress| progress.got += length);
            if start + got + length == end {
                return Ok(());
            }
        }
        Err(ended_early(blob, start + self.progress().got))
    }
}
