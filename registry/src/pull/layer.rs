//! One layer of a pull.

use futures_util::StreamExt;
use kiln_store::{BlobWriter, Descriptor, DiffId, Store};
use tokio::sync::watch;

use crate::content::{ByteStream, Repository};
use crate::error::{Error, Result};
use crate::event::{BlobOutcome, Event, Events};
use crate::layers;
use crate::source::blocking;

use super::split::{Begin, Split};
use super::stream::{self, Pipe};

/// What happened to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Fetched,
    Present,
}

/// Blobs of this size and larger leave what has come to the next pull when they break: smaller ones are there again within a moment.
const RESUMABLE: u64 = 1 << 20;

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

/// A download with its source.
struct Begun {
    download: BlobWriter,
    source: Source,
}

/// What a layer comes from.
enum Source {
    /// One stream, taken up again where it breaks.
    Stream(ByteStream),
    /// Several parts at once.
    Parts(Split),
}

impl Begun {
    /// Whether the layer will be put together from what may not belong together.
    fn is_put_together(&self) -> bool {
        self.download.size() > 0 || matches!(self.source, Source::Parts(_))
    }
}

impl LayerTask<'_> {
    pub(super) async fn run(mut self) -> Result<Fate> {
        let here = self.blob_is_here().await?;
        // The request is on its way before the configuration is known, unless it may turn out to be unnecessary.
        let early = if here || self.config.borrow().is_some() {
            None
        } else {
            Some(self.begin(true).await?)
        };
        let layer = self.diff_id().await?;
        if self.is_unpacked(layer).await? || (here && self.unpack_stored(layer).await?) {
            (self.events.0)(Event::BlobDone {
                digest: self.blob.digest,
                outcome: BlobOutcome::Present,
            });
            return Ok(Fate::Present);
        }
        let begun = match early {
            Some(begun) => begun,
            None => self.begin(true).await?,
        };
        self.fetch(layer, begun).await?;
        (self.events.0)(Event::BlobDone {
            digest: self.blob.digest,
            outcome: BlobOutcome::Transferred,
        });
        Ok(Fate::Fetched)
    }

    /// Takes up the download where an earlier pull left it, and asks for the rest, or for its first part.
    async fn begin(&self, in_parts: bool) -> Result<Begun> {
        let (download, ours) = self.download().await?;
        let splitting = self.repository.splitting().filter(|splitting| {
            in_parts && ours && self.blob.size >= splitting.from && download.size() < self.blob.size
        });
        let source = match splitting {
            Some(splitting) => {
                Split::begin(
                    self.repository,
                    self.store,
                    self.blob,
                    download.size(),
                    splitting,
                )
                .await?
            }
            None => Begin::Stream(self.stream(download.size()).await?),
        };
        let source = match source {
            Begin::Stream(stream) => Source::Stream(stream),
            Begin::Parts(split) => Source::Parts(split),
        };
        (self.events.0)(Event::BlobStarted {
            digest: self.blob.digest,
            size: self.blob.size,
        });
        if download.size() > 0 {
            (self.events.0)(Event::BlobProgress {
                digest: self.blob.digest,
                moved: download.size(),
            });
        }
        Ok(Begun { download, source })
    }

    /// All of the blob from `offset` on.
    async fn stream(&self, offset: u64) -> Result<ByteStream> {
        if offset == self.blob.size {
            return Ok(futures_util::stream::empty().boxed());
        }
        match self.repository.blob(self.blob, offset).await {
            // It may answer next time: that is the pump's matter.
            Err(error) if error.is_transient() => {
                Ok(futures_util::stream::once(async { Err(error) }).boxed())
            }
            opened => opened,
        }
    }

    /// The download, and whether it is one that a later pull can take up.
    async fn download(&self) -> Result<(BlobWriter, bool)> {
        let (store, blob) = (self.store.clone(), self.blob.clone());
        blocking("taking up a download", move || {
            if blob.size >= RESUMABLE {
                match store.resume_blob(&blob.digest)? {
                    Some(download) if download.size() <= blob.size => return Ok((download, true)),
                    Some(too_long) => too_long.forget(),
                    // Another process fetches it: what it has cannot be waited for, it may be stopped.
                    None => {}
                }
            }
            Ok((store.blob_writer()?, false))
        })
        .await
    }

    /// Fetches the layer. Content that proves wrong is fetched once more, whole, if what came was put together or can be had from another place.
    async fn fetch(&self, layer: DiffId, begun: Begun) -> Result<()> {
        let put_together = begun.is_put_together();
        let error = match self.transfer(layer, begun).await {
            Err(error @ (Error::Unpack { .. } | Error::Corrupt { .. })) => error,
            done => return done,
        };
        if !put_together && !self.repository.has_other_source(&self.blob.digest) {
            return Err(error);
        }
        (self.events.0)(Event::Retrying {
            what: format!("blob {}", self.blob.digest),
            reason: error.to_string(),
        });
        let (store, digest) = (self.store.clone(), self.blob.digest);
        blocking(
            "reading the store",
            move || Ok(store.forget_parts(&digest)?),
        )
        .await?;
        self.transfer(layer, self.begin(false).await?).await
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
            Ok(store.hold_blob(&blob.digest)? == Some(blob.size))
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
    async fn transfer(&self, layer: DiffId, begun: Begun) -> Result<()> {
        let Begun { download, source } = begun;
        let (pipe, mut reader) = Pipe::new();
        let (store, blob, found) = (self.store.clone(), self.blob.clone(), download.size());
        let unpack = blocking("unpacking a layer", move || {
            layers::ingest_download(&store, download, &mut reader, &blob, &layer)
        });
        let send = async {
            let (from, events) = (self.repository, self.events.0);
            match source {
                Source::Stream(first) => {
                    stream::pump(from, self.blob, found, first, pipe, events).await
                }
                Source::Parts(split) => split.pump(from, self.blob, pipe, events).await,
            }
        };
        let (sent, unpacked) = tokio::join!(send, unpack);
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
