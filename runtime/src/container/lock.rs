//! The liveness lock of a monitor: an open-file-description lock on `monitor.lock`, held as long as the monitor lives.
//!
//! Looking at it never disturbs it: the question is asked with `F_OFD_GETLK`, which takes nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::{Context, Result};
use crate::sys_lock;

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct MonitorLock(
    #[expect(dead_code, reason = "holding the descriptor is the lock")] File,
);

impl MonitorLock {
    /// Takes the lock; `None` when another monitor has it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>> {
        let describe = || format!("locking {}", path.display());
        let file = open(path, true).context(describe)?;
        Ok(sys_lock::try_exclusive(&file)
            .context(describe)?
            .then_some(Self(file)))
    }
}

/// Whether some monitor holds the lock at `path`.
pub(crate) fn is_held(path: &Path) -> Result<bool> {
    let describe = || format!("looking at the lock {}", path.display());
    match open(path, false) {
        Ok(file) => sys_lock::is_locked(&file).context(describe),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context(describe),
    }
}

/// Waits until nobody holds the lock at `path`. A monitor that is dying closes its socket a moment before its lock.
pub(crate) fn wait_until_free(path: &Path) -> Result<()> {
    let describe = || format!("waiting for the lock {}", path.display());
    match open(path, false) {
        Ok(file) => sys_lock::exclusive(&file).context(describe),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(describe),
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_looking_takes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor.lock");
        assert!(!is_held(&path).unwrap(), "no file, no holder");
        let held = MonitorLock::take(&path).unwrap().expect("free");
        assert!(is_held(&path).unwrap());
        assert!(MonitorLock::take(&path).unwrap().is_none());
        drop(held);
        assert!(!is_held(&path).unwrap());
        assert!(MonitorLock::take(&path).unwrap().is_some());
    }
}
