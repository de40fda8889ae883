//! Removes fetched sources that no build used for long.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kiln_store::Store;

/// A source that a project still builds from is used more often than monthly.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes what was not used for a month. What cannot be removed now is removed another time.
pub(crate) fn sweep(store: &Store) {
    for kind in ["sources/http", "sources/git"] {
        let Ok(entries) = fs::read_dir(store.root().join(kind)) else {
            continue;
        };
        for entry in entries.flatten() {
            if is_old(&entry.path()) {
                remove(store, &entry.path());
            }
        }
    }
}

/// Notes that a source is used now.
pub(super) fn touch(folder: &Path) {
    // Only the day of its removal depends on it.
    let _ = fs::File::open(folder).and_then(|folder| folder.set_modified(SystemTime::now()));
}

fn is_old(folder: &Path) -> bool {
    let used = fs::metadata(folder).and_then(|meta| meta.modified());
    used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > KEPT))
}

/// Moves it to a temporary directory, so that nobody finds half of it.
fn remove(store: &Store, folder: &Path) {
    if let Ok(temporary) = store.temporary_directory("old") {
        let _ = fs::rename(folder, temporary.path().join("source"));
    }
}
