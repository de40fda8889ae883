//! Hashes of entries, from the index where it knows them.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use kiln_store::view::{Entry, View};

use super::index::{ContextIndex, Identity};
use crate::cache::KeyHasher;
use crate::copy::{CopyError, FileHashes};

/// Read at once: large enough for the hash to use its wide instructions, small enough for the cache.
const BUFFER: usize = 128 << 10;

/// Hashes of the entries of one directory, remembered in its index.
#[derive(Debug)]
pub(crate) struct IndexedHashes {
    index: ContextIndex,
}

impl IndexedHashes {
    pub(crate) fn new(index: ContextIndex) -> Self {
        Self { index }
    }

    pub(crate) fn save(&self) -> io::Result<()> {
        self.index.save()
    }
}

impl FileHashes for IndexedHashes {
    fn hash(&self, view: &View, entry: &Entry) -> Result<[u8; 32], CopyError> {
        let identity = identity(entry);
        if let Some(known) = self.index.lookup(&identity) {
            return Ok(known);
        }
        let began = SystemTime::now();
        let hash = compute(view, entry)?;
        self.index.note(identity, hash, began);
        Ok(hash)
    }
}

fn identity(entry: &Entry) -> Identity {
    let nanoseconds = |seconds: i64, rest: u32| {
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(rest))
    };
    let meta = &entry.meta;
    Identity {
        device: meta.dev,
        inode: meta.ino,
        size: meta.size,
        mtime: nanoseconds(meta.mtime, meta.mtime_nsec),
        ctime: nanoseconds(meta.ctime, meta.ctime_nsec),
    }
}

/// Content of a file and extended attributes of any entry: both change its change time, so both can be remembered.
fn compute(view: &View, entry: &Entry) -> Result<[u8; 32], CopyError> {
    let (content, xattrs) = if entry.meta.is_file() {
        let (file, xattrs) = view.open_file_with_xattrs(entry)?;
        (content(file, entry)?, xattrs)
    } else {
        ([0; 32], view.xattrs(entry)?)
    };
    if xattrs.is_empty() {
        return Ok(content);
    }
    let mut hasher = KeyHasher::new("attributes");
    hasher.raw(&content);
    for (name, value) in &xattrs {
        hasher.bytes(name);
        hasher.bytes(value);
    }
    Ok(hasher.finish())
}

fn content(mut file: File, entry: &Entry) -> Result<[u8; 32], CopyError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER.min(usize::try_from(entry.meta.size).unwrap_or(BUFFER) + 1)];
    loop {
        match io::Read::read(&mut file, &mut buffer) {
            Ok(0) => return Ok(*hasher.finalize().as_bytes()),
            Ok(length) => {
                hasher.update(&buffer[..length]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(CopyError::Other(format!(
                    "cannot read `{}`: {error}",
                    entry.display()
                )));
            }
        }
    }
}
