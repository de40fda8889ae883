//! Where the whole output of build steps is kept: `logs/<build>/step-NNN.log` in the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Builds whose logs are kept: enough to look back at, few enough to forget about.
const KEPT: usize = 20;

/// A directory of its own for the logs of one build, made by the first step that runs; those of the oldest builds go.
pub fn directory(root: &Path) -> PathBuf {
    let logs = root.join("logs");
    let mut builds: Vec<PathBuf> = match fs::read_dir(&logs) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    builds.sort();
    for old in builds.iter().rev().skip(KEPT - 1) {
        // Another build may be removing it too.
        let _ = fs::remove_dir_all(old);
    }
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    logs.join(format!("{seconds:012}-{}", std::process::id()))
}
