//! What an operation reports while it runs.

use std::time::Duration;

use kiln_store::Digest;

/// A sink for events; called from the task that does the work, so it must not block for long.
pub type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// Something worth showing. Every blob that starts also ends, with [`Event::BlobDone`], unless the operation fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The name has become a digest.
    Resolved {
        /// The name, as given.
        reference: String,
        /// The digest of the manifest or index.
        digest: Digest,
    },
    /// A manifest is known: so many blobs and bytes belong to it.
    Planned {
        /// Blobs: layers and the configuration.
        blobs: usize,
        /// Their size in all.
        bytes: u64,
    },
    /// A blob begins to move.
    BlobStarted {
        /// The blob.
        digest: Digest,
        /// Its size.
        size: u64,
    },
    /// So many bytes of a blob have moved, counted from its beginning; less than before if it had to begin again.
    BlobProgress {
        /// The blob.
        digest: Digest,
        /// Bytes so far.
        moved: u64,
    },
    /// A blob is where it belongs.
    BlobDone {
        /// The blob.
        digest: Digest,
        /// How it got there.
        outcome: BlobOutcome,
    },
    /// A transfer broke and is taken up again.
    Retrying {
        /// What.
        what: String,
        /// Why.
        reason: String,
    },
    /// A registry limits requests; nothing is sent to it for a while.
    Waiting {
        /// The host.
        host: String,
        /// How long.
        wait: Duration,
    },
    /// The same wait, told every second.
    StillWaiting {
        /// The host.
        host: String,
        /// What is left of it.
        left: Duration,
    },
}

/// How a blob got to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// Its bytes were moved.
    Transferred,
    /// It was there already.
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
}
