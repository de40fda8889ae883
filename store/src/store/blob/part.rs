//! Parts of a download that came before their turn.
//!
//! ```text
//! partial/<digest>                 the download from its beginning on
//! partial/<digest>.<start>-<end>   bytes from <start> on, as far as they came
//! ```
//!
//! Who fetches a part holds the lock of its file. Like the download itself a part is a promise of nothing: only the digest of
//! the whole says what it is worth.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::store::layout::{digest_name, entries};
use crate::store::lock::try_exclusive;
use crate::store::tag::remove_if_there;
use crate::store::temporary::is_same;
use crate::{Digest, Error, Result, Store};

/// A part of a download, to be written from its start to its end.
#[derive(Debug)]
pub struct DownloadPart {
    path: PathBuf,
    file: File,
    range: Range<u64>,
    found: u64,
}

impl Store {
    /// Starts a part of a download, or takes up what there is of it. `None` when another process fetches the same one. Only for
    /// who has the download ([`Store::resume_blob`]).
    pub fn download_part(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Option<DownloadPart>> {
        let name = format!("{}.{}-{}", digest_name(digest), range.start, range.end);
        let path = self.root().join("partial").join(name);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let opened = options.mode(0o600).open(&path);
            let file = opened.map_err(Error::io("open", &path))?;
            if !try_exclusive(&file).map_err(Error::io("lock", &path))? {
                return Ok(None);
            }
            if !is_same(&file, &path)? {
                continue;
            }
            let found = file.metadata().map_err(Error::io("examine", &path))?.len();
            let found = if found > range.end - range.start {
                file.set_len(0).map_err(Error::io("shorten", &path))?;
                0
            } else {
                found
            };
            return Ok(Some(DownloadPart {
                path,
                file,
                range,
                found,
            }));
        }
    }

    /// The parts that an earlier process left, by their start.
    pub fn download_parts(&self, digest: &Digest) -> Result<Vec<DownloadPart>> {
        let mut parts = Vec::new();
        for (_, range) in self.part_files(digest)? {
            parts.extend(self.download_part(digest, range)?);
        }
        parts.sort_by_key(|part| part.range.start);
        Ok(parts)
    }

    /// Throws away the parts that nobody is fetching.
    pub fn forget_parts(&self, digest: &Digest) -> Result<()> {
        for part in self.download_parts(digest)? {
            part.remove()?;
        }
        Ok(())
    }

    fn part_files(&self, digest: &Digest) -> Result<Vec<(PathBuf, Range<u64>)>> {
        let prefix = format!("{}.", digest_name(digest));
        let all = entries(&self.root().join("partial"))?.into_iter();
        let parts = all.filter_map(|path| {
            let range = parse_range(&path, &prefix)?;
            Some((path, range))
        });
        Ok(parts.collect())
    }
}

fn parse_range(path: &Path, prefix: &str) -> Option<Range<u64>> {
    let name = path.file_name()?.to_str()?;
    let (start, end) = name.strip_prefix(prefix)?.split_once('-')?;
    let range = start.parse().ok()?..end.parse().ok()?;
    (range.start < range.end).then_some(range)
}

impl DownloadPart {
    /// The bytes of the blob that it is for.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// How many of them were there when it was opened.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Writes bytes at a position within the part; who writes leaves no gaps.
    pub fn write_at(&self, position: u64, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all_at(bytes, position);
        written.map_err(Error::io("write", &self.path))
    }

    /// Reads bytes from a position within the part; gives how many there were.
    pub fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        let read = self.file.read_at(buffer, position);
        read.map_err(Error::io("read", &self.path))
    }

    /// Removes it: it has been used, or is of no use.
    pub fn remove(&self) -> Result<()> {
        remove_if_there(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::StoreOptions;

    #[test]
    fn parts_are_found_again_as_far_as_they_came() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), StoreOptions::default()).unwrap();
        let digest = Digest::sha256(b"whole");
        let part = store.download_part(&digest, 100..200).unwrap().unwrap();
        part.write_at(0, b"abc").unwrap();
        part.write_at(3, b"def").unwrap();
        assert!(
            store.download_part(&digest, 100..200).unwrap().is_none(),
            "somebody fetches it"
        );
        drop(part);
        fs::write(root.path().join("partial/other.1-2"), b"x").unwrap();
        let found = store.download_parts(&digest).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].range(), found[0].found()), (100..200, 6));
        let mut bytes = [0; 4];
        assert_eq!(found[0].read_at(2, &mut bytes).unwrap(), 4);
        assert_eq!(&bytes, b"cdef");
        drop(found);
        store.forget_parts(&digest).unwrap();
        assert!(store.download_parts(&digest).unwrap().is_empty());
    }

    #[test]
    fn a_part_that_is_too_long_begins_again() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), StoreOptions::default()).unwrap();
        let digest = Digest::sha256(b"whole");
        let part = store.download_part(&digest, 4..6).unwrap().unwrap();
        part.write_at(0, b"too long").unwrap();
        drop(part);
        let part = store.download_part(&digest, 4..6).unwrap().unwrap();
        assert_eq!(part.found(), 0);
    }
}
