//! One execution of a step, however many builds need it at the same time: whoever comes first does it, across processes.
//!
//! A build holds the lock `step-<definition key>` of the store while it does a step. It holds no other lock when it waits for
//! this one, and a killed build's lock is free.

use std::time::Duration;

use kiln_store::LockGuard;

use super::Engine;
use crate::cache::{StepKeys, StepResult};
use crate::error::BuildError;

/// How often a step that another build does is looked at again: short against any step, long against the cost of a look.
const RETRY: Duration = Duration::from_millis(5);

/// Who does a step.
pub(super) enum Turn {
    /// This build, as long as it holds this.
    Own(LockGuard),
    /// Another build did it meanwhile.
    Done(StepResult),
}

impl Engine<'_> {
    /// Waits until nobody else does this step.
    pub(super) fn turn(&self, keys: &StepKeys) -> Result<Turn, BuildError> {
        let name = format!("step-{}", keys.definition);
        loop {
            let lock = self.host.store.try_lock(&name);
            let lock = lock.map_err(|error| BuildError::host("cannot lock a step", error))?;
            if let Some(guard) = lock {
                // It may have been done since this build looked it up.
                let done = self.records().by_definition(&keys.definition)?;
                return Ok(done.map_or(Turn::Own(guard), Turn::Done));
            }
            if self.stop.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            std::thread::sleep(RETRY);
        }
    }
}
