//! What is known about the files of a directory: which content a file of this identity had.
//!
//! ```text
//! <store>/context-index/<blake3 of the directory's path>
//!   magic (8 bytes) | entry (72 bytes) ...
//!   entry: device, inode, size, mtime ns, ctime ns (8 bytes each, little endian), blake3 of the content (32)
//! ```
//!
//! A file is hashed again when any of the five differ. An entry is only written if the file had been left alone for a
//! clock tick when its hashing began: a later change within that tick would leave the same times.
//!
//! Concurrency: files are replaced by rename. Two builds of one directory at once write one after the other and the
//! last wins, which costs time and never truth.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Changes with the layout of the file.
const MAGIC: &[u8; 8] = b"kilnctx1";
const ENTRY: usize = 72;
/// File times come from the kernel's tick: 10 ms at the slowest usual setting (CONFIG_HZ=100), doubled for safety.
const TICK: Duration = Duration::from_millis(20);
/// File systems without fractions of seconds (FAT has two of them).
const COARSE_TICK: Duration = Duration::from_secs(2);

/// What tells that a file was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) ctime: i64,
}

impl Identity {
    fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// The digest of a file's content.
pub(crate) type ContentHash = [u8; 32];

/// The known files of one directory.
#[derive(Debug)]
pub(crate) struct ContextIndex {
    path: PathBuf,
    known: HashMap<Identity, ContentHash>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What this build asked for: the hash, and whether it may be remembered.
    entries: HashMap<Identity, (ContentHash, bool)>,
    changed: bool,
}

impl ContextIndex {
    /// Reads what is known about this directory. A missing or damaged file means that nothing is known.
    pub(crate) fn open(store_root: &Path, directory: &Path) -> Self {
        let name = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
        let path = store_root.join("context-index").join(name.as_str());
        let known = fs::read(&path)
            .ok()
            .and_then(|bytes| decode(&bytes))
            .unwrap_or_default();
        Self {
            path,
            known,
            seen: Mutex::default(),
        }
    }

    /// Returns the content of a file of this identity, if it is known.
    pub(crate) fn lookup(&self, identity: &Identity) -> Option<ContentHash> {
        let mut seen = self.lock();
        if let Some((hash, _)) = seen.entries.get(identity) {
            return Some(*hash);
        }
        let found = self.known.get(identity).copied()?;
        seen.entries.insert(*identity, (found, true));
        Some(found)
    }

    /// Notes the content of a file whose hashing began at `began`. It is remembered beyond this build only if the file
    /// was not changed just before.
    pub(crate) fn note(&self, identity: Identity, hash: ContentHash, began: SystemTime) {
        let settled = is_settled(&identity, began);
        let mut seen = self.lock();
        seen.entries.insert(identity, (hash, settled));
        seen.changed |= settled;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what this build saw, if that is news. Files of other parts of the directory stay known.
    pub(crate) fn save(&self) -> io::Result<()> {
        let seen = std::mem::take(&mut *self.lock());
        if !seen.changed {
            return Ok(());
        }
        let settled = seen.entries.iter().filter(|(_, (_, settled))| *settled);
        let fresh: HashMap<Identity, ContentHash> = settled
            .map(|(identity, (hash, _))| (*identity, *hash))
            .collect();
        // Entries of inodes that look different now are of no use any more; other parts of the directory stay known.
        let changed: HashSet<(u64, u64)> = seen.entries.keys().map(Identity::place).collect();
        let mut all = self.known.clone();
        all.retain(|identity, _| !changed.contains(&identity.place()));
        all.extend(fresh);
        let Some(folder) = self.path.parent() else {
            return Ok(());
        };
        fs::create_dir_all(folder)?;
        let temporary = self
            .path
            .with_extension(format!("{}.tmp", std::process::id()));
        let written = fs::File::create(&temporary)
            .and_then(|mut file| file.write_all(&encode(&all)))
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// Tells whether a change after `began` would show in the times.
fn is_settled(identity: &Identity, began: SystemTime) -> bool {
    let newest = identity.mtime.max(identity.ctime);
    let coarse = identity.mtime % 1_000_000_000 == 0 && identity.ctime % 1_000_000_000 == 0;
    let tick = if coarse { COARSE_TICK } else { TICK };
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::from(newest) + i128::try_from(tick.as_nanos()).unwrap_or(0)
        < i128::try_from(began.as_nanos()).unwrap_or(0)
}

fn encode(entries: &HashMap<Identity, ContentHash>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + entries.len() * ENTRY);
    bytes.extend_from_slice(MAGIC);
    for (identity, hash) in entries {
        for number in [identity.device, identity.inode, identity.size] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&identity.mtime.to_le_bytes());
        bytes.extend_from_slice(&identity.ctime.to_le_bytes());
        bytes.extend_from_slice(hash);
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<HashMap<Identity, ContentHash>> {
    let body = bytes.strip_prefix(MAGIC)?;
    let (entries, rest) = body.as_chunks::<ENTRY>();
    if !rest.is_empty() {
        return None;
    }
    let mut known = HashMap::with_capacity(entries.len());
    for entry in entries {
        let (numbers, _) = entry.as_chunks::<8>();
        let identity = Identity {
            device: u64::from_le_bytes(numbers[0]),
            inode: u64::from_le_bytes(numbers[1]),
            size: u64::from_le_bytes(numbers[2]),
            mtime: i64::from_le_bytes(numbers[3]),
            ctime: i64::from_le_bytes(numbers[4]),
        };
        known.insert(identity, *entry.last_chunk()?);
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(inode: u64, mtime: i64) -> Identity {
        Identity {
            device: 1,
            inode,
            size: 3,
            mtime,
            ctime: mtime + 1,
        }
    }

    #[test]
    fn remembers_settled_files_and_forgets_changed_ones() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let directory = Path::new("/context");
        let began = UNIX_EPOCH + Duration::from_secs(100);
        let index = ContextIndex::open(root.path(), directory);
        let old = identity(7, 5_000_000_001);
        let racy = identity(8, 99_999_999_999);
        index.note(old, [1; 32], began);
        index.note(racy, [2; 32], began);
        index.save().expect("the index is written");

        assert_eq!(index.lookup(&racy), None);

        let index = ContextIndex::open(root.path(), directory);
        let changed = identity(7, 6_000_000_001);
        assert_eq!(index.lookup(&changed), None);
        index.note(changed, [3; 32], began);
        assert_eq!(index.lookup(&changed), Some([3; 32]));
        index.save().expect("the index is written");

        let index = ContextIndex::open(root.path(), directory);
        assert_eq!(
            (index.known.len(), index.lookup(&changed)),
            (1, Some([3; 32]))
        );
        assert!(
            ContextIndex::open(root.path(), Path::new("/other"))
                .known
                .is_empty()
        );
    }

    #[test]
    fn whole_seconds_need_a_longer_rest() {
        let whole = Identity {
            device: 1,
            inode: 1,
            size: 0,
            mtime: 99_000_000_000,
            ctime: 99_000_000_000,
        };
        assert!(!is_settled(&whole, UNIX_EPOCH + Duration::from_secs(100)));
        assert!(is_settled(&whole, UNIX_EPOCH + Duration::from_secs(102)));
    }

    #[test]
    fn a_damaged_file_is_nothing() {
        assert!(decode(b"kilnctx1short").is_none());
        assert!(decode(b"else").is_none());
        assert!(decode(MAGIC).is_some_and(|known| known.is_empty()));
    }
}
