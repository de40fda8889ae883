//! Cache mounts: directories that outlive a step.
//!
//! ```text
//! <store>/cache-mounts/<blake3 of the id>/<number>   0, and more for private ones in use at the same time
//! ```
//!
//! Concurrency: `locked` and `private` hold the lock `cache-<hash>-<number>` of the store, across processes.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use kiln_store::{LockGuard, NewTree, OverlayXattrs};

use super::Engine;
use crate::error::BuildError;
use crate::graph::CacheSharing;

/// One cache as a mount names it.
pub(super) struct Cache<'a> {
    pub(super) id: &'a str,
    pub(super) sharing: CacheSharing,
    pub(super) mode: u32,
}

impl Engine<'_> {
    /// Finds or makes the directory of a cache, and the lock that the step holds on it.
    pub(super) fn cache_directory(
        &self,
        cache: &Cache<'_>,
        owner: (u32, u32),
        initial: impl Fn() -> Result<Option<(NewTree, PathBuf)>, BuildError>,
    ) -> Result<(PathBuf, Option<LockGuard>), BuildError> {
        let hash = blake3::hash(cache.id.as_bytes()).to_hex();
        let root = self
            .host
            .store
            .root()
            .join("cache-mounts")
            .join(hash.as_str());
        let failed = |error: std::io::Error| {
            BuildError::host(format!("cannot prepare the cache {}", cache.id), error)
        };
        std::fs::create_dir_all(&root).map_err(failed)?;
        let (number, lock) = match cache.sharing {
            CacheSharing::Shared => (0, None),
            CacheSharing::Locked => (0, Some(self.wait_for(lock_name(&hash, 0))?)),
            CacheSharing::Private => self.first_free(&hash)?,
        };
        let directory = root.join(number.to_string());
        if !directory.exists() {
            match initial()? {
                Some((tree, content)) => {
                    move_into_place(&content, &directory).map_err(failed)?;
                    drop(tree);
                }
                None => make(
                    self.host.store.options().overlay_xattrs,
                    &root,
                    &directory,
                    cache.mode,
                    owner,
                )
                .map_err(failed)?,
            }
        }
        Ok((directory, lock))
    }

    fn first_free(&self, hash: &str) -> Result<(u32, Option<LockGuard>), BuildError> {
        let mut number = 0;
        loop {
            if let Some(lock) = self.try_lock(&lock_name(hash, number))? {
                return Ok((number, Some(lock)));
            }
            number += 1;
        }
    }

    fn try_lock(&self, name: &str) -> Result<Option<LockGuard>, BuildError> {
        self.host
            .store
            .try_lock(name)
            .map_err(|error| BuildError::host("cannot lock a cache", error))
    }
}

fn lock_name(hash: &str, number: u32) -> String {
    format!("cache-{hash}-{number}")
}

/// Makes an empty cache under another name first, so that nobody sees it before it has its owner.
fn make(
    family: OverlayXattrs,
    root: &Path,
    directory: &Path,
    mode: u32,
    (uid, gid): (u32, u32),
) -> std::io::Result<()> {
    let temporary = root.join(format!(
        "new-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    DirBuilder::new().mode(0o700).create(&temporary)?;
    let opened = std::fs::File::open(&temporary)?;
    kiln_store::tree::give_directory(family, opened, uid, gid, mode)?;
    move_into_place(&temporary, directory)
}

/// Another step may have been faster; then its directory is the cache.
fn move_into_place(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::rename(from, to) {
        Err(_) if to.is_dir() => std::fs::remove_dir_all(from),
        done => done,
    }
}
