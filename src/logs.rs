//! Where the whole output of build steps is kept: `logs/<build>/step-NNN.log` in the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

/// Builds whose logs are kept: enough to look back at, few enough to forget about.
const KEPT: usize = 20;

/// A fresh directory for the logs of one build; those of the oldest builds go.
pub fn directory(root: &Path) -> anyhow::Result<PathBuf> {
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
    let path = logs.join(format!("{seconds:012}-{}", std::process::id()));
    fs::create_dir_all(&path).with_context(|| format!("making `{}`", path.display()))?;
    Ok(path)
}
