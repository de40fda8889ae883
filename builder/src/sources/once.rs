//! Answers that are worked out once, however many threads ask for them at the same time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Answers by key. Threads that ask for one that is being worked out wait for it.
pub(crate) struct Once<K, V> {
    answers: Mutex<HashMap<K, Arc<OnceLock<V>>>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Once<K, V> {
    /// The answer for this key.
    pub(crate) fn get(&self, key: &K, work: impl FnOnce() -> V) -> V {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(answers.entry(key.clone()).or_default());
        drop(answers);
        cell.get_or_init(work).clone()
    }
}

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
        }
    }
}

impl<K, V> fmt::Debug for Once<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Once").finish_non_exhaustive()
    }
}
