//! One layer of a pull.

use kiln_store::{Descriptor, DiffId, Store};
use tokio::sync::watch;

use crate::content::{ByteStream, Repository};
use crate::error::{Error, Result};
use crate::event::{BlobOutcome, Event, Events};
use crate::layers;
use crate::source::blocking;

use super::stream::{self, Pipe};

/// What happened to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Fetched,
    Present,
}

/// All that one layer needs; it ends with the layer unpacked in the store.
#[derive(Debug)]
pub(super) struct LayerTask<'a> {
    pub(super) repository: &'a dyn Repository,
    pub(super) store: &'a Store,
    pub(super) blob: &'a Descriptor,
    pub(super) position: usize,
    pub(super) config: watch::Receiver<Option<Vec<DiffId>>>,
    pub(super) events: Shown<'a>,
}

impl LayerTask<'_> {
    pub(super) async fn run(mut self) -> Result<Fate> {
        let here = self.blob_is_here().await?;
        // The request is on its way before the configuration is known, unless it may turn out to be unnecessary.
        let early = if here || self.config.borrow().is_some() {
            None
        } else {
            Some(self.open().await?)
        };
        let layer = self.diff_id().await?;
        if self.is_unpacked(layer).await? {
            (self.events.0)(Event::BlobDone {
                digest: self.blob.digest,
                outcome: BlobOutcome::Present,
            });
            return Ok(Fate::Present);
        }
        if here && self.unpack_stored(layer).await? {
            (self.events.0)(Event::BlobDone {
                digest: self.blob.digest,
                outcome: BlobOutcome::Present,
            });
            return Ok(Fate::Present);
        }
        let first = match early {
            Some(stream) => stream,
            None => self.open().await?,
        };
        self.transfer(layer, first).await?;
        (self.events.0)(Event::BlobDone {
            digest: self.blob.digest,
            outcome: BlobOutcome::Transferred,
        });
        Ok(Fate::Fetched)
    }

    async fn open(&self) -> Result<ByteStream> {
        let stream = self.repository.blob(self.blob, 0).await?;
        (self.events.0)(Event::BlobStarted {
            digest: self.blob.digest,
            size: self.blob.size,
        });
        Ok(stream)
    }

    async fn diff_id(&mut self) -> Result<DiffId> {
        let lost = || Error::Interrupted("the pull".to_owned());
        let known = self
            .config
            .wait_for(Option::is_some)
            .await
            .map_err(|_| lost())?;
        known
            .as_ref()
            .and_then(|layers| layers.get(self.position))
            .copied()
            .ok_or_else(lost)
    }

    async fn blob_is_here(&self) -> Result<bool> {
        let (store, blob) = (self.store.clone(), self.blob.clone());
        blocking("reading the store", move || {
            Ok(store.blob_size(&blob.digest)? == Some(blob.size))
        })
        .await
    }

    async fn is_unpacked(&self, layer: DiffId) -> Result<bool> {
        let store = self.store.clone();
        blocking("reading the store", move || layers::has(&store, &layer)).await
    }

    /// Unpacks the blob that the store has. False if it is damaged: then it is fetched again.
    async fn unpack_stored(&self, layer: DiffId) -> Result<bool> {
        let (store, blob) = (self.store.clone(), self.blob.clone());
        blocking("unpacking a layer", move || {
            let mut file = store.open_blob(&blob.digest)?;
            Ok(layers::ingest(&store, &mut file, &blob, &layer).is_ok())
        })
        .await
    }

    /// Moves the bytes from the repository to the thread that unpacks them.
    async fn transfer(&self, layer: DiffId, first: ByteStream) -> Result<()> {
        let (pipe, mut reader) = Pipe::new();
        let (store, blob) = (self.store.clone(), self.blob.clone());
        let unpack = blocking("unpacking a layer", move || {
            layers::ingest(&store, &mut reader, &blob, &layer)
        });
        let (sent, unpacked) = tokio::join!(
            stream::pump(self.repository, self.blob, first, pipe, self.events.0),
            unpack
        );
        match (sent, unpacked) {
            // If both failed: the network if it broke off, else the reason why nobody read on.
            (Err(error), _) if !matches!(error, Error::Interrupted(_)) => Err(error),
            (_, Err(error)) => Err(error),
            (Err(error), Ok(())) => Err(error),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}

/// A sink of events in a struct that can be printed.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a>(pub(super) Events<'a>);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
