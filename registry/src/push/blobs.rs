//! The blobs of a push, many at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use kiln_store::{Descriptor, Digest, Manifest, Store};
use tokio::sync::Semaphore;

use crate::content::{BlobUpload, Placed, Repository};
use crate::error::{Error, Result};
use crate::event::{BlobOutcome, Event, Events};
use crate::layers;
use crate::origins;
use crate::source::{CountedBlob, StoredBlob, blocking};

use super::plan::{Plan, PlannedLayer, relabel};
use super::{Origins, Pushed};

/// Uploads under way in all stages; how many bodies move at once is the transport's matter.
const UPLOADS: usize = 64;

/// How often an upload tells how far it is: smooth enough for a bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Layers compressed at once: compression uses all cores by itself.
const COMPRESSIONS: usize = 1;

/// Where a blob belongs in a plan: image and layer; a configuration has no such place.
type Seat = Option<(usize, usize)>;

/// A blob that is where it belongs.
struct Arrived {
    seat: Seat,
    blob: Descriptor,
    /// How it got there; nothing for a blob that is counted elsewhere.
    placed: Option<Placed>,
}

/// Sends blobs and counts them.
pub(super) struct Blobs<'a> {
    repository: &'a dyn Repository,
    store: &'a Store,
    origins: Origins<'a>,
    events: Events<'a>,
    sent: usize,
    mounted: usize,
    skipped: usize,
    /// Whether layers are compressed that were here uncompressed.
    pub(super) repacked: bool,
}

impl<'a> Blobs<'a> {
    pub(super) fn new(
        repository: &'a dyn Repository,
        store: &'a Store,
        origins: Origins<'a>,
        events: Events<'a>,
    ) -> Self {
        Self {
            repository,
            store,
            origins,
            events,
            sent: 0,
            mounted: 0,
            skipped: 0,
            repacked: false,
        }
    }

    /// The end of a push; `skipped` blobs were never looked at.
    pub(super) fn summary(&self, digest: Digest, skipped: usize, single_platform: bool) -> Pushed {
        Pushed {
            digest,
            traffic: self.repository.traffic(),
            sent: self.sent,
            mounted: self.mounted,
            skipped: self.skipped + skipped,
            single_platform,
            repacked: self.repacked,
        }
    }

    /// Sends all blobs of a plan whose digests are known.
    pub(super) async fn send(&mut self, plan: &Plan) -> Result<()> {
        let mut blobs: BTreeMap<Digest, &Descriptor> = BTreeMap::new();
        let mut lost = Vec::new();
        let mut configs = BTreeSet::new();
        for image in &plan.images {
            blobs.insert(image.manifest.config.digest, &image.manifest.config);
            configs.insert(image.manifest.config.digest);
            for layer in &image.layers {
                match layer {
                    PlannedLayer::Ready(blob) => _ = blobs.insert(blob.digest, blob),
                    PlannedLayer::Lost(diff_id, blob) => {
                        lost.push((*diff_id, blob));
                        blobs.insert(blob.digest, blob);
                    }
                    PlannedLayer::Foreign(_) | PlannedLayer::Unpacked(_) => {}
                }
            }
        }
        for (diff_id, blob) in lost {
            self.make_again(diff_id, blob).await?;
        }
        let mut order: Vec<&Descriptor> = blobs.into_values().collect();
        // Configurations are small and needed in any case: they show early what the registry can do. Then the largest, so that it is not the last.
        order.sort_by_key(|blob| {
            (
                !configs.contains(&blob.digest),
                std::cmp::Reverse(blob.size),
            )
        });
        (self.events)(Event::Planned {
            blobs: order.len(),
            bytes: order.iter().map(|blob| blob.size).sum(),
        });
        let this = &*self;
        let placed: Vec<Placed> = stream::iter(order)
            .map(|blob| this.place(blob))
            .buffer_unordered(UPLOADS)
            .try_collect()
            .await?;
        self.count(&placed);
        Ok(())
    }

    /// Makes the missing blobs and sends each as soon as it is made; gives the plan with the manifests that name them.
    pub(super) async fn send_local(&mut self, plan: Plan) -> Result<Plan> {
        let turn = Semaphore::new(COMPRESSIONS);
        let mut done = BTreeSet::new();
        let this = &*self;
        let work = FuturesUnordered::new();
        for (image, planned) in plan.images.iter().enumerate() {
            if done.insert(planned.manifest.config.digest) {
                work.push(this.layer(None, &planned.manifest.config, None, &turn));
            }
            for (position, (layer, descriptor)) in planned
                .layers
                .iter()
                .zip(&planned.manifest.layers)
                .enumerate()
            {
                let seat = Some((image, position));
                // A digest twice in one push is sent once; the second is only looked up for the manifest.
                let again = !done.insert(descriptor.digest);
                work.push(this.layer(seat, descriptor, Some((layer, again)), &turn));
            }
        }
        let known = plan.images.iter().flat_map(|image| {
            let ready = image.layers.iter().filter_map(|layer| match layer {
                PlannedLayer::Ready(blob) | PlannedLayer::Lost(_, blob) => Some(blob),
                PlannedLayer::Foreign(_) | PlannedLayer::Unpacked(_) => None,
            });
            ready.chain([&image.manifest.config])
        });
        let sizes: BTreeMap<Digest, u64> = known.map(|blob| (blob.digest, blob.size)).collect();
        // What has to be made is announced with the rest; how many bytes it has shows when it is made.
        (self.events)(Event::Planned {
            blobs: plan.count_blobs(),
            bytes: sizes.values().sum(),
        });
        let results: Vec<Arrived> = work.try_collect().await?;
        let mut manifests: Vec<Manifest> = plan
            .images
            .iter()
            .map(|image| image.manifest.clone())
            .collect();
        let mut placed = Vec::new();
        for arrived in results {
            placed.extend(arrived.placed);
            if let Some((image, position)) = arrived.seat {
                manifests[image].layers[position] = arrived.blob;
            }
        }
        self.count(&placed);
        plan.with_manifests(manifests)
    }

    /// Makes one blob, if it must be made, and sends it.
    async fn layer(
        &self,
        seat: Seat,
        descriptor: &Descriptor,
        layer: Option<(&PlannedLayer, bool)>,
        turn: &Semaphore,
    ) -> Result<Arrived> {
        let mut blob = descriptor.clone();
        match layer {
            None | Some((PlannedLayer::Ready(_), _)) => {}
            Some((PlannedLayer::Foreign(_), _)) => {
                return Ok(Arrived {
                    seat,
                    blob,
                    placed: None,
                });
            }
            Some((PlannedLayer::Lost(diff_id, lost), _)) => {
                let _turn = turn.acquire().await;
                self.make_again(*diff_id, lost).await?;
            }
            Some((PlannedLayer::Unpacked(diff_id), _)) => {
                let _turn = turn.acquire().await;
                let (store, diff_id) = (self.store.clone(), *diff_id);
                let made = blocking("compressing a layer", move || {
                    layers::make_blob(&store, &diff_id)
                })
                .await?;
                blob = relabel(descriptor, &made);
                if !layer.is_some_and(|(_, again)| again) {
                    (self.events)(Event::Planned {
                        blobs: 0,
                        bytes: blob.size,
                    });
                }
            }
        }
        if layer.is_some_and(|(_, again)| again) {
            return Ok(Arrived {
                seat,
                blob,
                placed: None,
            });
        }
        let placed = self.place(&blob).await?;
        Ok(Arrived {
            seat,
            blob,
            placed: Some(placed),
        })
    }

    async fn make_again(&self, diff_id: kiln_store::DiffId, blob: &Descriptor) -> Result<()> {
        let store = self.store.clone();
        let made = blocking("compressing a layer", move || {
            layers::make_blob(&store, &diff_id)
        })
        .await?;
        if made.digest != blob.digest {
            return Err(Error::Store(kiln_store::Error::BlobNotFound {
                digest: blob.digest,
            }));
        }
        Ok(())
    }

    /// Sends one blob, and tells now and then how far it is.
    async fn place(&self, blob: &Descriptor) -> Result<Placed> {
        let (store, digest) = (self.store.clone(), blob.digest);
        let (registry, given) = (
            self.origins.registry.map(str::to_owned),
            self.origins.given(&digest),
        );
        let origins = blocking("the record of origins", {
            let store = store.clone();
            move || match registry {
                Some(registry) => Ok(given
                    .into_iter()
                    .chain(origins::paths(&store, &digest, &registry)?)
                    .collect()),
                None => Ok(given),
            }
        })
        .await?;
        (self.events)(Event::BlobStarted {
            digest,
            size: blob.size,
        });
        let (source, moved) = CountedBlob::new(Arc::new(StoredBlob {
            store,
            digest,
            size: blob.size,
        }));
        let upload = BlobUpload {
            descriptor: blob.clone(),
            source: Arc::new(source),
            origins,
        };
        let mut sending = self.repository.put_blob(&upload);
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
        Ok(placed)
    }

    fn count(&mut self, placed: &[Placed]) {
        for placed in placed {
            match placed {
                Placed::Sent => self.sent += 1,
                Placed::Mounted => self.mounted += 1,
                Placed::Present => self.skipped += 1,
            }
        }
    }
}
