//! Pull.

use kiln_store::{Digest, Image, Platform, Reference, Store};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::transport::Traffic;

/// Choices of a pull.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Names that the image gets besides the reference's own.
    pub tags: Vec<Reference>,
    /// True to store the image without giving it the reference's name.
    pub untagged: bool,
}

/// A pulled image and what it cost.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image for the platform.
    pub image: Image,
    /// What the reference named: the digest of the index, or of the manifest.
    pub digest: Digest,
    /// Requests and bytes.
    pub traffic: Traffic,
    /// Layers fetched.
    pub layers_fetched: usize,
    /// Layers that were there.
    pub layers_skipped: usize,
}

/// Pulls an image for a platform into the store, verified and unpacked. It is recorded, and named, only when all of it is there.
pub async fn pull(
    client: &Client,
    store: &Store,
    reference: &Reference,
    platform: &Platform,
    options: &PullOptions,
    events: Events<'_>,
) -> Result<Pulled> {
    let _ = (client, store, platform, options, events);
    Err(Error::NotFound(reference.to_string()))
}
