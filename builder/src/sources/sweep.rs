//! Removes fetched sources that no build used for long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kiln_store::Store;

/// A source that a project still builds from is used more often than monthly.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes what was not used for a month. What cannot be removed now is removed another time.
pub(crate) fn sweep(store: &Store) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let _ = store.prune_sources(now.saturating_sub(KEPT).as_secs());
}
