//! Headers of tar archives for whoever writes one: the same bytes for the same entry that layers have.
//!
//! [`encode`] appends an entry's header; a file's content follows, filled up by [`padding`] zeros to a whole block; [`END`]
//! ends the archive.

pub use crate::layer::entry::{Body, LayerEntry as ArchiveEntry};
pub use crate::layer::header::{END, encode, padding};
