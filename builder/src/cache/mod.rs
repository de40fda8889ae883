//! The two keys of a step, the records of its results, and the reason for every miss.

mod key;
mod records;
mod remote;
mod why;

pub(crate) use key::KeyHasher;
pub(crate) use records::{Records, SlotRecord, StepKeys, StepResult};
pub use remote::{CacheLocation, CacheMode, export_cache};
pub(crate) use remote::{CachedStep, INLINE, Imported, fetch_ahead, inline_document};
pub(crate) use why::{Change, Slot, change};
