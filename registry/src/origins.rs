//! Which repositories of a registry are known to hold a layer.
//!
//! A registry can take a blob from one of its repositories into another without it being sent, if it is told which. Pull and push write down where they
//! saw each layer, as a record of the store; a wrong one costs nothing but the try.

use kiln_store::{CacheKey, Descriptor, Digest, Reference, Store};

use crate::error::Result;

/// The kind of these records.
const KIND: &str = "origin";

/// Repositories kept for one blob and registry: the newest is the likeliest to last.
const MOST: usize = 4;

fn key(blob: &Digest, registry: &str) -> CacheKey {
    CacheKey::of(format!("{blob} {registry}").as_bytes())
}

/// Writes down that a repository holds these blobs.
pub(crate) fn remember(store: &Store, blobs: &[Descriptor], repository: &Reference) -> Result<()> {
    for blob in blobs {
        let mut known = paths(store, &blob.digest, repository.domain())?;
        if known.first().is_some_and(|path| path == repository.path()) {
            continue;
        }
        known.retain(|path| path != repository.path());
        known.insert(0, repository.path().to_owned());
        known.truncate(MOST);
        store.put_record(KIND, &key(&blob.digest, repository.domain()), &[], &known)?;
    }
    Ok(())
}

/// The repositories of a registry that held a blob when it was last seen there, newest first.
pub(crate) fn paths(store: &Store, blob: &Digest, registry: &str) -> Result<Vec<String>> {
    Ok(store
        .record::<Vec<String>>(KIND, &key(blob, registry))?
        .map(|record| record.body)
        .unwrap_or_default())
}
