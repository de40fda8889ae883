//! The two keys of a step, the records of its results, and the reason for every miss.

mod key;
mod records;
mod why;

pub(crate) use key::KeyHasher;
pub(crate) use records::{Records, SlotRecord, StepKeys, StepResult};
pub(crate) use why::{Change, Slot, change};
