//! Layers: unpacking them, writing them, stacking them.
//!
//! ```text
//! layers/<diff id>/fs            the tree, as overlayfs takes it for a lower directory
//! layers/<diff id>/entry.json    what else there is to know of it ([`LayerRecord`])
//! chains/<chain id>/entry.json   the directories of a stack, lowest first
//! chains/<chain id>/<number>     a directory of fix-ups that this stack needs (see `stack`)
//! ```
//!
//! A layer's directory depends on no other layer: deletions are 0:0 devices, a directory that hides what lies below it
//! carries overlay's `opaque` attribute. It is made in `tmp/` and renamed to its place when its digests are verified, and
//! never changes afterwards. Two processes may make the same layer at once; the second finds it there.
//!
//! The upper directory of an overlay mount becomes a layer as it is, so it may carry other attributes of overlay's
//! (`origin`, `impure`, `nlink`, `uuid`). They are never exported, and overlay reads none of them in a lower directory when
//! `index`, `redirect_dir` and `metacopy` are off, as kiln's mounts have them; `redirect` and `metacopy`, which would
//! matter, are refused.

mod block;
mod commit;
pub(crate) mod entry;
mod error;
pub(crate) mod header;
mod ingest;
mod keep;
mod options;
mod record;
mod repack;
mod stack;
mod write;

pub use error::{LayerError, Result};
pub use options::{CommitOptions, Compression, Limits};
pub use record::{LayerRecord, LeftOut, Origin, PendingLink, StoredPath};
pub use repack::{inflate, repack};
pub use stack::Stack;
pub(crate) use stack::{ChainRecord, Extended};
