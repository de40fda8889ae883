//! One execution of a step, however many builds need it at the same time: whoever comes first does it, across processes.
//!
//! A build holds the lock `step-<definition key>` of the store while it does a step. It holds no other lock when it waits for
//! this one, and a killed build's lock is free.

use std::sync::mpsc::channel;

use kiln_store::{LockGuard, Store};

use super::{Engine, Prepared};
use crate::cache::StepResult;
use crate::error::BuildError;

/// Who does a step.
pub(super) enum Turn {
    /// This build, as long as it holds this.
    Own(LockGuard),
    /// Another build did it meanwhile.
    Done(StepResult),
}

impl Engine<'_> {
    /// Waits until nobody else does this step.
    pub(super) fn turn(&self, step: &Prepared) -> Result<Turn, BuildError> {
        let definition = &step.keys.definition;
        let guard = self.wait_for(format!("step-{definition}"))?;
        // It may have been done since this build looked it up.
        let done = match step.is_renewed {
            true => None,
            false => self.records().by_definition(definition)?,
        };
        Ok(done.map_or(Turn::Own(guard), Turn::Done))
    }

    /// Waits for a lock of the store. One that is not free is waited for on a thread of its own: a build that is cancelled goes on
    /// without it.
    pub(super) fn wait_for(&self, name: String) -> Result<LockGuard, BuildError> {
        if let Some(guard) = self.host.store.try_lock(&name).map_err(failed)? {
            return Ok(guard);
        }
        let (sender, receiver) = channel();
        let cancelled = sender.clone();
        let _guard = self.stop.on_cancel(move || {
            // Nobody listens any more when the lock came first.
            let _ = cancelled.send(None);
        });
        let root = self.host.store.root().to_owned();
        std::thread::Builder::new()
            .name("lock".to_owned())
            .spawn(move || {
                let _ = sender.send(Some(Store::lock_at(&root, &name)));
            })
            .map_err(|error| BuildError::host("cannot wait for a lock", error))?;
        match receiver.recv() {
            Ok(Some(lock)) => lock.map_err(failed),
            Ok(None) | Err(_) => Err(BuildError::Cancelled),
        }
    }
}

fn failed(error: kiln_store::Error) -> BuildError {
    BuildError::host("cannot lock a step or a cache", error)
}
