//! Which repositories of a registry are known to hold a layer.
//!
//! A registry can take a blob from one of its repositories into another without it being sent, if it is told which. Pull and push write down where they
//! saw each layer (`kiln_store::Store::note_origin`); a wrong one costs nothing but the try.

use kiln_store::{Descriptor, Digest, Reference, Store};

use crate::error::Result;

/// Writes down that a repository holds these blobs.
pub(crate) fn remember(store: &Store, blobs: &[Descriptor], repository: &Reference) -> Result<()> {
    Ok(store.note_origin(blobs.iter().map(|blob| blob.digest), repository)?)
}

/// The repositories of a registry that held a blob when it was last seen there, newest first.
pub(crate) fn paths(store: &Store, blob: &Digest, registry: &str) -> Result<Vec<String>> {
    Ok(store.origins_in(blob, registry)?)
}
