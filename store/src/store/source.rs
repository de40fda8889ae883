//! What builds fetched from elsewhere and may use again: downloads and repositories.
//!
//! ```text
//! sources/<kind>/<name>/     whatever the builder keeps there; its time is that of the last use
//! ```
//!
//! Nothing here is truth: what is missing is fetched again. Whoever uses a folder holds a shared lock on it; a collection takes only what it can
//! lock alone.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::store::collect::size::TreeSize;
use crate::store::layout::entries;
use crate::store::lock::{check_name, try_exclusive};
use crate::store::removal::remove_counted;
use crate::store::temporary::is_same;
use crate::{Error, Result, Store};

/// The directory below the root.
pub(crate) const SOURCES: &str = "sources";

/// A source's folder, which stays until this is dropped.
#[derive(Debug)]
pub struct SourceFolder {
    path: PathBuf,
    _lock: File,
}

impl SourceFolder {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A source that nobody uses now.
#[derive(Debug)]
pub(crate) struct IdleSource {
    path: PathBuf,
    /// Locked alone, so that nobody starts to use it.
    _lock: File,
    /// Seconds since 1970.
    used: i64,
    pub(crate) bytes: u64,
}

impl Store {
    /// Makes or finds the folder of a source and notes that it is used now.
    pub fn use_source(&self, kind: &str, name: &str) -> Result<SourceFolder> {
        check_name(kind)?;
        check_name(name)?;
        let path = self.root().join(SOURCES).join(kind).join(name);
        loop {
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
            let lock = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(Error::io("open", &path))?,
            };
            match flock(&lock, FlockOperation::LockShared) {
                Err(Errno::INTR) => continue,
                done => done.map_err(Error::io("lock", &path))?,
            }
            // A collection may have taken it before it was locked.
            if is_same(&lock, &path)? {
                lock.set_modified(SystemTime::now())
                    .map_err(Error::io("set the time of", &path))?;
                return Ok(SourceFolder { path, _lock: lock });
            }
        }
    }

    /// Removes sources that nobody uses and that were last used before this many seconds since 1970. Gives how many.
    pub fn prune_sources(&self, before: u64) -> Result<usize> {
        let idle = self.idle_sources(Some(before))?;
        let count = idle.len();
        self.remove_sources(idle)?;
        Ok(count)
    }

    /// The folders of all sources.
    pub(crate) fn sources(&self) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for kind in entries(&self.root().join(SOURCES))? {
            folders.extend(entries(&kind)?);
        }
        Ok(folders)
    }

    /// Those that nobody uses, least recently used first, locked.
    pub(crate) fn idle_sources(&self, before: Option<u64>) -> Result<Vec<IdleSource>> {
        let mut idle = Vec::new();
        for path in self.sources()? {
            let Ok(lock) = File::open(&path) else {
                continue;
            };
            let used = lock
                .metadata()
                .map_err(Error::io("examine", &path))?
                .mtime();
            let is_old =
                before.is_none_or(|before| used < i64::try_from(before).unwrap_or(i64::MAX));
            if is_old && try_exclusive(&lock).map_err(Error::io("lock", &path))? {
                let size = TreeSize::of(&path).map_err(Error::io("measure", &path))?;
                idle.push(IdleSource {
                    path,
                    _lock: lock,
                    used,
                    bytes: size.total(),
                });
            }
        }
        idle.sort_by_key(|source| source.used);
        Ok(idle)
    }

    /// Removes these; gives how many bytes became free.
    pub(crate) fn remove_sources(&self, sources: Vec<IdleSource>) -> Result<u64> {
        let mut bytes = 0;
        for source in sources {
            if let Some(trash) = self.move_to_trash(&source.path)? {
                bytes += remove_counted(&trash).map_err(Error::io("delete", &trash))?;
            }
        }
        Ok(bytes)
    }
}
