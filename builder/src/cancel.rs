//! The flag that ends a build early.
//!
//! Concurrency: clones share one flag. Whoever runs something that can be ended registers how
//! ([`Cancel::on_cancel`]); the thread that cancels calls each of those once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Stop = Box<dyn FnOnce() + Send>;

/// A shared flag: once raised, no step starts any more and those that run are ended.
#[derive(Clone, Default)]
pub struct Cancel {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    raised: bool,
    next: u64,
    stops: BTreeMap<u64, Stop>,
}

impl Cancel {
    /// Makes a flag that is down.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag and ends what runs. Safe to call more than once.
    pub fn cancel(&self) {
        let stops = {
            let mut state = self.lock();
            state.raised = true;
            std::mem::take(&mut state.stops)
        };
        for stop in stops.into_values() {
            stop();
        }
    }

    /// Tells whether the flag is up.
    pub fn is_cancelled(&self) -> bool {
        self.lock().raised
    }

    /// Calls `stop` when the flag goes up, at once if it is up already, never after the guard is dropped.
    pub fn on_cancel(&self, stop: impl FnOnce() + Send + 'static) -> CancelGuard {
        let id = {
            let mut state = self.lock();
            let id = state.next;
            state.next += 1;
            if !state.raised {
                state.stops.insert(id, Box::new(stop));
                return CancelGuard {
                    cancel: self.clone(),
                    id,
                };
            }
            id
        };
        stop();
        CancelGuard {
            cancel: self.clone(),
            id,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cancel")
            .field("raised", &self.is_cancelled())
            .finish()
    }
}

/// Takes one registration back when it is dropped.
#[derive(Debug)]
#[must_use = "the registration ends with the guard"]
pub struct CancelGuard {
    cancel: Cancel,
    id: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.cancel.lock().stops.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn ends_what_is_registered_once() {
        let count = Arc::new(AtomicUsize::new(0));
        let cancel = Cancel::new();
        let counted = |count: &Arc<AtomicUsize>| {
            let count = Arc::clone(count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let kept = cancel.on_cancel(counted(&count));
        drop(cancel.on_cancel(counted(&count)));
        cancel.cancel();
        cancel.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let late = cancel.on_cancel(counted(&count));
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop((kept, late));
    }
}
