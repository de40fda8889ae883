//! Steps for another processor than this machine's.

use std::sync::PoisonError;

use kiln_store::Platform;

use super::Engine;
use crate::graph::RunOp;

/// The platform of a step whose programs this machine does not run by itself.
pub(super) fn foreign(run: &RunOp) -> Option<Platform> {
    let platform: Platform = run.platform.parse().ok()?;
    let is_native = Platform::host().best_match([&platform]).is_some();
    (!is_native).then_some(platform)
}

impl Engine<'_> {
    /// Has an emulator registered for a step that needs one. What speaks against it is told if the step fails for that.
    pub(super) fn emulate(&self, run: &RunOp) {
        let (Some(platform), Some(emulators)) = (foreign(run), &self.host.emulators) else {
            return;
        };
        if let Err(reason) = emulators(&platform) {
            let mut kept = self
                .no_emulator
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *kept = Some(reason);
        }
    }

    /// Why there is no emulator, if one was looked for.
    pub(super) fn no_emulator(&self) -> Option<String> {
        self.no_emulator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
