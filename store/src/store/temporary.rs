//! Directories in `tmp/`, each locked by its owner, and the sweep of those whose owner is gone.
//!
//! The lock is a `flock` on the directory itself. A directory is made, opened, locked, and then looked at again: a sweeper
//! may have taken it in between, and then another is made. Whoever gets the lock of a directory may delete it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::digest::hex;
use crate::store::lock::{check_name, try_exclusive};
use crate::store::removal::remove_counted;
use crate::{Error, Result, Store};

/// A directory for things in the making. It is deleted when dropped, and by other processes when this one is gone.
#[derive(Debug)]
pub struct TemporaryDirectory {
    path: PathBuf,
    /// Open and locked as long as the directory is ours.
    _lock: File,
}

impl TemporaryDirectory {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes one in the `tmp/` of the store at `root`.
    pub(crate) fn create(root: &Path, prefix: &str) -> Result<Self> {
        check_name(prefix)?;
        loop {
            let path = root
                .join("tmp")
                .join(format!("{prefix}-{}", random_name()?));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                done => done.map_err(Error::io("create", &path))?,
            }
            let lock = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(Error::io("open", &path))?,
            };
            if try_exclusive(&lock).map_err(Error::io("lock", &path))? && is_same(&lock, &path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What cannot be deleted now is swept later.
        let _ = remove_tree(&self.path);
    }
}

impl Store {
    /// Makes a directory in the store's `tmp/`, on the same file system as everything else in it.
    pub fn temporary_directory(&self, prefix: &str) -> Result<TemporaryDirectory> {
        TemporaryDirectory::create(self.root(), prefix)
    }

    /// Moves something away, to a name in `tmp/` from which nobody reads: it is gone at once, and deleting it can take its
    /// time or be left to a sweep. Needs no space, so that it works on a full disk. `None` when there was nothing.
    pub(crate) fn move_to_trash(&self, path: &Path) -> Result<Option<PathBuf>> {
        let target = self
            .root()
            .join("tmp")
            .join(format!("trash-{}", random_name()?));
        match fs::rename(path, &target) {
            Ok(()) => Ok(Some(target)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("remove", path)(error)),
        }
    }

    /// Deletes what killed processes left in `tmp/`; gives the number of directories and files.
    pub fn sweep(&self) -> Result<usize> {
        let tmp = self.root().join("tmp");
        let mut swept = 0;
        for entry in fs::read_dir(&tmp).map_err(Error::io("list", &tmp))? {
            let path = entry.map_err(Error::io("list", &tmp))?.path();
            let Ok(lock) = File::open(&path) else {
                continue;
            };
            if try_exclusive(&lock).unwrap_or(false) && remove_tree(&path).is_ok() {
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// Whether a path still leads to the open file.
pub(crate) fn is_same(file: &File, path: &Path) -> Result<bool> {
    let open = file.metadata().map_err(Error::io("examine", path))?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.ino() == open.ino() && found.dev() == open.dev()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("examine", path)(error)),
    }
}

/// Deletes a file or a whole tree, also when directories in it are closed to their owner; an absent one is fine.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    remove_counted(path).map(drop)
}

/// A name that no other process makes at the same time.
pub(crate) fn random_name() -> Result<String> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(
        Error::io("read random bytes for a name in", OsStr::new("tmp")),
    )?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::StoreOptions;

    #[test]
    fn removed_on_drop_and_swept_when_free() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let temporary = store.temporary_directory("tree").unwrap();
        let path = temporary.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        assert_eq!(store.sweep().unwrap(), 0);
        assert!(path.join("file").exists());
        drop(temporary);
        assert!(!path.exists());

        let left = directory.path().join("tmp/tree-left");
        fs::create_dir_all(left.join("closed/inner")).unwrap();
        fs::set_permissions(left.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::write(directory.path().join("tmp/file-left"), "x").unwrap();
        assert_eq!(store.sweep().unwrap(), 2);
        drop(store);
        assert_eq!(
            fs::read_dir(directory.path().join("tmp")).unwrap().count(),
            0
        );
    }
}
