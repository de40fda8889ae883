//! What is known about the files of a directory: which content a file of this identity had.
//!
//! ```text
//! <store>/context-index/<blake3 of the directory's path>
//!   magic (8 bytes) | entry (72 bytes) ...
//!   entry: device, inode, size, mtime ns, ctime ns (8 bytes each, little endian), blake3 of the content (32)
//! ```
//!
//! Entries stand in order, so that they are looked up where they were read to: a large directory takes 73 bytes a file.
//!
//! A file is hashed again when any of the five differ. An entry is only written if the file had been left alone for a
//! clock tick when its hashing began: a later change within that tick would leave the same times.
//!
//! Concurrency: files are replaced by rename. Two builds of one directory at once write one after the other and the
//! last wins, which costs time and never truth.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Changes with the layout of the file.
const MAGIC: &[u8; 8] = b"kilnctx2";
const ENTRY: usize = 72;
/// File times come from the kernel's tick: 10 ms at the slowest usual setting (CONFIG_HZ=100), doubled for safety.
const TICK: Duration = Duration::from_millis(20);
/// File systems without fractions of seconds (FAT has two of them).
const COARSE_TICK: Duration = Duration::from_secs(2);

/// What tells that a file was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// In order.
    known: Vec<(Identity, ContentHash)>,
    seen: Mutex<Seen>,
}

/// What this build asked for.
#[derive(Debug, Default)]
struct Seen {
    /// Which of the known files.
    known: Vec<bool>,
    /// What was not known: the hash, and whether it may be remembered.
    fresh: HashMap<Identity, (ContentHash, bool)>,
    changed: bool,
}

impl ContextIndex {
    /// Reads what is known about this directory. A missing or damaged file means that nothing is known.
    pub(crate) fn open(store_root: &Path, directory: &Path) -> Self {
        let name = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
        let path = store_root.join("context-index").join(name.as_str());
        let known = read(&path).ok().flatten().unwrap_or_default();
        let seen = Seen {
            known: vec![false; known.len()],
            ..Seen::default()
        };
        Self {
            path,
            known,
            seen: Mutex::new(seen),
        }
    }

    /// Returns the content of a file of this identity, if it is known.
    pub(crate) fn lookup(&self, identity: &Identity) -> Option<ContentHash> {
        match self
            .known
            .binary_search_by_key(identity, |(known, _)| *known)
        {
            Ok(place) => {
                self.lock().known[place] = true;
                Some(self.known[place].1)
            }
            Err(_) => self.lock().fresh.get(identity).map(|(hash, _)| *hash),
        }
    }

    /// Notes the content of a file whose hashing began at `began`. It is remembered beyond this build only if the file
    /// was not changed just before.
    pub(crate) fn note(&self, identity: Identity, hash: ContentHash, began: SystemTime) {
        let settled = is_settled(&identity, began);
        let mut seen = self.lock();
        seen.fresh.insert(identity, (hash, settled));
        seen.changed |= settled;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what this build saw, if that is news. Files of other parts of the directory stay known.
    pub(crate) fn save(&self) -> io::Result<()> {
        let empty = Seen {
            known: vec![false; self.known.len()],
            ..Seen::default()
        };
        let seen = std::mem::replace(&mut *self.lock(), empty);
        if !seen.changed {
            return Ok(());
        }
        let entries = self.merged(&seen);
        let Some(folder) = self.path.parent() else {
            return Ok(());
        };
        fs::create_dir_all(folder)?;
        let temporary = self
            .path
            .with_extension(format!("{}.tmp", std::process::id()));
        let written = write(&temporary, &entries).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// What is to be remembered, in order. Entries of inodes that look different now are of no use any more.
    fn merged<'a>(&'a self, seen: &'a Seen) -> Vec<(&'a Identity, &'a ContentHash)> {
        let is_seen = |number: usize| seen.known.get(number).copied().unwrap_or_default();
        let known = || self.known.iter().enumerate();
        let mut places: HashSet<(u64, u64)> = seen.fresh.keys().map(Identity::place).collect();
        places.extend(
            known()
                .filter(|(number, _)| is_seen(*number))
                .map(|(_, (identity, _))| identity.place()),
        );
        let kept = known()
            .filter(|(number, (identity, _))| {
                is_seen(*number) || !places.contains(&identity.place())
            })
            .map(|(_, (identity, hash))| (identity, hash));
        let settled = seen.fresh.iter().filter(|(_, (_, settled))| *settled);
        let mut all: Vec<_> = kept
            .chain(settled.map(|(identity, (hash, _))| (identity, hash)))
            .collect();
        all.sort_unstable();
        all
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

fn write(path: &Path, entries: &[(&Identity, &ContentHash)]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(MAGIC)?;
    for (identity, hash) in entries {
        for number in [identity.device, identity.inode, identity.size] {
            file.write_all(&number.to_le_bytes())?;
        }
        file.write_all(&identity.mtime.to_le_bytes())?;
        file.write_all(&identity.ctime.to_le_bytes())?;
        file.write_all(*hash)?;
    }
    file.flush()
}

/// Reads an index; nothing if the file is none, or damaged.
fn read(path: &Path) -> io::Result<Option<Vec<(Identity, ContentHash)>>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let body = length.checked_sub(MAGIC.len());
    let Some(count) = body
        .filter(|body| body % ENTRY == 0)
        .map(|body| body / ENTRY)
    else {
        return Ok(None);
    };
    let mut file = BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Ok(None);
    }
    let mut known = Vec::with_capacity(count);
    let mut entry = [0; ENTRY];
    for _ in 0..count {
        file.read_exact(&mut entry)?;
        known.push(decode(&entry));
    }
    let in_order = known.is_sorted_by(|(one, _), (other, _)| one < other);
    Ok(in_order.then_some(known))
}

fn decode(entry: &[u8; ENTRY]) -> (Identity, ContentHash) {
    let (numbers, _) = entry.as_chunks::<8>();
    let identity = Identity {
        device: u64::from_le_bytes(numbers[0]),
        inode: u64::from_le_bytes(numbers[1]),
        size: u64::from_le_bytes(numbers[2]),
        mtime: i64::from_le_bytes(numbers[3]),
        ctime: i64::from_le_bytes(numbers[4]),
    };
    let mut hash = [0; 32];
    hash.copy_from_slice(&entry[ENTRY - 32..]);
    (identity, hash)
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
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("index");
        let read_back = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("a file");
            read(&path).ok().flatten().map(|known| known.len())
        };
        assert_eq!(read_back(b"kilnctx2short"), None);
        assert_eq!(read_back(b"else"), None);
        assert_eq!(read_back(MAGIC), Some(0));
        let two = [MAGIC.as_slice(), &[1; ENTRY], &[2; ENTRY]].concat();
        assert_eq!(read_back(&two), Some(2));
        let out_of_order = [MAGIC.as_slice(), &[2; ENTRY], &[1; ENTRY]].concat();
        assert_eq!(read_back(&out_of_order), None);
    }
}
