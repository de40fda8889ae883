//! The blobs of a copy, many at a time, and how far each is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kiln_store::{Descriptor, Digest, Manifest, media_type};

use crate::content::{BlobSource, BlobUpload, Placed, Repository, Resolved};
use crate::error::{Error, Result};
use crate::event::{BlobOutcome, Event, Events};
use crate::source::{CountedBlob, RepositoryBlob};

use super::CopyOptions;

/// Blobs under way in all stages; how many bodies move at once is the transport's matter.
const BLOBS: usize = 64;

/// How often a transfer tells how far it is: smooth enough for a bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What became of the blobs so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) sent: usize,
    pub(super) sent_bytes: u64,
    pub(super) mounted: usize,
    pub(super) skipped: usize,
}

/// Sends blobs and counts them.
pub(super) struct Blobs<'a> {
    pub(super) from: &'a Arc<dyn Repository>,
    to: &'a dyn Repository,
    origins: Vec<String>,
    dry_run: bool,
    pub(super) events: Events<'a>,
    counted: Counted,
    /// A digest twice in one copy is sent once.
    done: BTreeMap<Digest, u64>,
}

impl<'a> Blobs<'a> {
    pub(super) fn new(
        from: &'a Arc<dyn Repository>,
        to: &'a dyn Repository,
        options: &CopyOptions,
        events: Events<'a>,
    ) -> Self {
        Self {
            from,
            to,
            origins: options.origin.iter().cloned().collect(),
            dry_run: options.dry_run,
            events,
            counted: Counted::default(),
            done: BTreeMap::new(),
        }
    }

    pub(super) fn counted(&self) -> Counted {
        self.counted
    }

    /// Counts the blobs of an image that is at the target whole. Those of an index are unknown without reading its images.
    pub(super) fn skip_all(&mut self, root: &Resolved) {
        if media_type::is_manifest(&root.descriptor.media_type)
            && let Ok(manifest) = serde_json::from_slice::<Manifest>(&root.bytes)
        {
            self.counted.skipped += 1 + manifest.layers.len();
        }
    }

    /// Sends blobs of the source.
    pub(super) async fn send(&mut self, blobs: &[Descriptor]) -> Result<()> {
        let new: Vec<(Descriptor, Arc<dyn BlobSource>)> = blobs
            .iter()
            .filter(|blob| !self.done.contains_key(&blob.digest))
            .map(|blob| {
                let source: Arc<dyn BlobSource> = Arc::new(RepositoryBlob {
                    repository: self.from.clone(),
                    descriptor: blob.clone(),
                });
                (blob.clone(), source)
            })
            .collect();
        self.send_from(new).await
    }

    /// Sends blobs from these sources.
    pub(super) async fn send_from(
        &mut self,
        mut blobs: Vec<(Descriptor, Arc<dyn BlobSource>)>,
    ) -> Result<()> {
        // Configurations first: they are small and show what the target can do. Then the largest, so that it is not the last.
        blobs.sort_by_key(|(blob, _)| {
            let is_layer = media_type::layer_compression(&blob.media_type).is_some();
            (is_layer, std::cmp::Reverse(blob.size))
        });
        (self.events)(Event::Planned {
            blobs: blobs.len(),
            bytes: blobs.iter().map(|(blob, _)| blob.size).sum(),
        });
        let this = &*self;
        let placed: Vec<(Digest, u64, Placed)> = stream::iter(blobs)
            .map(|(blob, source)| this.place(blob, source))
            .buffer_unordered(BLOBS)
            .try_collect()
            .await?;
        for (digest, size, placed) in placed {
            self.done.insert(digest, size);
            match placed {
                Placed::Sent => {
                    self.counted.sent += 1;
                    self.counted.sent_bytes += size;
                }
                Placed::Mounted => self.counted.mounted += 1,
                Placed::Present => self.counted.skipped += 1,
            }
        }
        Ok(())
    }

    /// Sends one blob, and tells now and then how far it is.
    async fn place(
        &self,
        descriptor: Descriptor,
        source: Arc<dyn BlobSource>,
    ) -> Result<(Digest, u64, Placed)> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        if self.dry_run {
            let there = self.to.has_blob(&descriptor).await?;
            let placed = if there { Placed::Present } else { Placed::Sent };
            return Ok((digest, size, placed));
        }
        (self.events)(Event::BlobStarted { digest, size });
        let (source, moved) = CountedBlob::new(source);
        let upload = BlobUpload {
            descriptor,
            source: Arc::new(source),
            origins: self.origins.clone(),
        };
        let mut sending = self.to.put_blob(&upload);
        let mut seen = 0;
        let placed = loop {
            match tokio::time::timeout(PROGRESS_INTERVAL, &mut sending).await {
                Ok(placed) => break placed?,
                Err(_) => {
                    let now = moved.load(Ordering::Relaxed);
                    if now != seen {
                        seen = now;
                        (self.events)(Event::BlobProgress { digest, moved: now });
                    }
                }
            }
        };
        let outcome = match placed {
            Placed::Sent => BlobOutcome::Transferred,
            Placed::Present => BlobOutcome::Present,
            Placed::Mounted => BlobOutcome::Mounted,
        };
        (self.events)(Event::BlobDone { digest, outcome });
        Ok::<_, Error>((digest, size, placed))
    }
}
