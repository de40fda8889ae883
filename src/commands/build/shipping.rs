//! Layers on their way while later steps run: each is compressed, and with a push sent, as soon as its step has made it.
//!
//! Two threads, one behind the other: the next layer is compressed while the last is sent. What goes wrong here is only work
//! that was not done early: the push at the end does it, and tells.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use kiln_builder::LayerHook;
use kiln_registry::{Access, BlobUpload, Repository, StoredBlob};
use kiln_store::{Compression, Descriptor, DiffId, Reference, Store};
use tokio::runtime::Handle;

use super::outputs::Output;
use crate::host::Host;

/// Takes layers until it is dropped; that waits for those on their way.
#[derive(Debug)]
pub struct Shipping {
    entrance: Arc<Mutex<Option<Sender<DiffId>>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Shipping {
    /// Begins, if some output sends or compresses layers.
    pub fn begin(host: &Host, outputs: &[Output]) -> Option<Self> {
        let image = outputs.iter().find_map(|output| match output {
            Output::Image(image) if image.push || image.options.compression.is_some() => {
                Some(image)
            }
            Output::Layout { image, .. } => Some(image),
            _ => None,
        })?;
        let compression = image.options.compression.unwrap_or(Compression::GZIP);
        if compression == Compression::None {
            return None;
        }
        let targets: &[Reference] = if image.push { &image.names } else { &[] };
        let repositories = repositories(host, targets);
        let (entrance, layers) = channel();
        let (packed, blobs) = channel();
        let (compressing, sending) = (host.store.clone(), host.store.clone());
        let threads = vec![
            thread::spawn(move || compress(&compressing, compression, &layers, &packed)),
            thread::spawn(move || send(&sending, &repositories, &blobs)),
        ];
        Some(Self {
            entrance: Arc::new(Mutex::new(Some(entrance))),
            threads,
        })
    }

    /// What the builder calls with each layer.
    pub fn hook(&self) -> LayerHook {
        let entrance = Arc::clone(&self.entrance);
        Arc::new(move |layer| {
            let entrance = entrance.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entrance) = &*entrance {
                // A thread that ended early leaves its work to the end.
                let _ = entrance.send(*layer);
            }
        })
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        self.entrance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Where layers go; none if no connection can be made, which the push tells.
fn repositories(host: &Host, targets: &[Reference]) -> Vec<(Arc<dyn Repository>, Handle)> {
    let (Ok(client), Ok(network)) = (host.client(), host.network()) else {
        return Vec::new();
    };
    let open = |target: &Reference| -> (Arc<dyn Repository>, Handle) {
        let repository = client.repository(target, Access::Push);
        (Arc::new(repository), network.handle().clone())
    };
    targets.iter().map(open).collect()
}

fn compress(
    store: &Store,
    compression: Compression,
    layers: &Receiver<DiffId>,
    packed: &Sender<Descriptor>,
) {
    for layer in layers {
        let Ok(blob) = store.layer_blob(&layer, compression) else {
            continue;
        };
        if packed.send(blob).is_err() {
            return;
        }
    }
}

fn send(
    store: &Store,
    repositories: &[(Arc<dyn Repository>, Handle)],
    blobs: &Receiver<Descriptor>,
) {
    for blob in blobs {
        for (repository, network) in repositories {
            let upload = BlobUpload {
                source: Arc::new(StoredBlob {
                    store: store.clone(),
                    digest: blob.digest,
                    size: blob.size,
                }),
                descriptor: blob.clone(),
                origins: Vec::new(),
            };
            let _ = network.block_on(repository.put_blob(&upload));
        }
    }
}
