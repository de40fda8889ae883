//! Locks between processes: named ones for callers, and the gate between users of the store and the collector.
//!
//! All are `flock(2)`, which belongs to the open file description: threads share it, a killed process frees it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Error, Result, Store};

/// Names of locks and kinds stay readable and fit into a file name.
pub(crate) const NAME_RULE: &str =
    "1 to 200 letters, digits and . _ - : @, not starting with a dot";

/// Refuses what would not be one plain file name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let valid = (1..=200).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-:@".contains(&b));
    if valid {
        Ok(())
    } else {
        Err(Error::Name {
            name: name.to_owned(),
            rule: NAME_RULE,
        })
    }
}

/// A named lock, held until it is dropped.
#[derive(Debug)]
pub struct LockGuard {
    _file: File,
}

impl Store {
    /// Waits for the lock of this name and takes it.
    pub fn lock(&self, name: &str) -> Result<LockGuard> {
        Self::lock_at(self.root(), name)
    }

    /// The same for the store at `root`, by a thread that may have to be left behind: it keeps no handle on the store.
    pub fn lock_at(root: &Path, name: &str) -> Result<LockGuard> {
        let path = lock_path(root, name)?;
        loop {
            let file = open_lock(&path)?;
            retry(|| flock(&file, FlockOperation::LockExclusive))
                .map_err(Error::io("lock", &path))?;
            if is_linked(&file, &path)? {
                return Ok(LockGuard { _file: file });
            }
        }
    }

    /// Takes the lock of this name when nobody has it.
    pub fn try_lock(&self, name: &str) -> Result<Option<LockGuard>> {
        let path = lock_path(self.root(), name)?;
        loop {
            let file = open_lock(&path)?;
            if !try_exclusive(&file).map_err(Error::io("lock", &path))? {
                return Ok(None);
            }
            if is_linked(&file, &path)? {
                return Ok(Some(LockGuard { _file: file }));
            }
        }
    }
}

fn lock_path(root: &Path, name: &str) -> Result<PathBuf> {
    check_name(name)?;
    Ok(root.join("locks").join(name))
}

fn open_lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.open(path).map_err(Error::io("open lock", path))
}

/// Whether the file locked is still the one of that name: the collector removes free lock files.
fn is_linked(file: &File, path: &Path) -> Result<bool> {
    Ok(file.metadata().map_err(Error::io("examine", path))?.nlink() > 0)
}

/// Takes the lock at once or says that another has it.
pub(crate) fn try_exclusive(file: &File) -> Result<bool, Errno> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Repeats a call that a signal interrupted.
fn retry(mut call: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// The lock that users of the store hold shared for moments, and the collector alone while it takes things away.
///
/// Shared holds nest and cross threads: the lock is taken by the first and given back by the last.
#[derive(Debug)]
pub(crate) struct Gate {
    path: PathBuf,
    /// `None` on a read-only store, where nothing can be taken away.
    file: Option<File>,
    users: Mutex<usize>,
}

/// A shared hold of the gate.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    gate: &'a Gate,
}

impl Gate {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let path = root.join("locks/gate");
        let file = match open_lock(&path) {
            Ok(file) => Some(file),
            Err(Error::Io { source, .. }) if is_read_only(&source) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            file,
            users: Mutex::new(0),
        })
    }

    /// Whether the store can only be read.
    pub(crate) fn is_read_only(&self) -> bool {
        self.file.is_none()
    }

    /// Enters beside other users; waits while the collector is at work.
    pub(crate) fn enter(&self) -> Result<Inside<'_>> {
        let mut users = self.users();
        if *users == 0
            && let Some(file) = &self.file
        {
            retry(|| flock(file, FlockOperation::LockShared))
                .map_err(Error::io("lock", &self.path))?;
        }
        *users += 1;
        Ok(Inside { gate: self })
    }

    /// Waits until nobody is inside and keeps everybody out. Must not be called by a thread that is inside.
    pub(crate) fn close(&self) -> Result<LockGuard> {
        let file = open_lock(&self.path)?;
        retry(|| flock(&file, FlockOperation::LockExclusive))
            .map_err(Error::io("lock", &self.path))?;
        Ok(LockGuard { _file: file })
    }

    fn users(&self) -> MutexGuard<'_, usize> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut users = self.gate.users();
        *users -= 1;
        if *users == 0
            && let Some(file) = &self.gate.file
        {
            // Unlocking an open file cannot fail; were it to, the collector would wait for this process to end.
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}

/// Whether an error says that the store cannot be written at all.
fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreOptions;

    #[test]
    fn named_locks_exclude_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let guard = store.lock("pull-x").unwrap();
        assert!(store.try_lock("pull-x").unwrap().is_none());
        assert!(store.try_lock("pull-y").unwrap().is_some());
        drop(guard);
        assert!(store.try_lock("pull-x").unwrap().is_some());
        for name in ["", "../x", "a/b", ".x", "x y"] {
            assert!(
                matches!(store.lock(name), Err(Error::Name { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn the_gate_nests_and_closes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let gate = &store.inner.gate;
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        drop(first);
        let other = File::open(&gate.path).unwrap();
        assert!(!try_exclusive(&other).unwrap());
        drop(second);
        assert!(try_exclusive(&other).unwrap());
        drop(other);
        let closed = gate.close().unwrap();
        let other = File::open(&gate.path).unwrap();
        assert!(!try_exclusive(&other).unwrap());
        drop(closed);
    }
}
