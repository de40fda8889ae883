//! What trees take on disk, hard links counted once.

use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use super::descent::Descent;

/// Disk space is counted in units of this many bytes, whatever the file system uses (stat(2)).
pub(crate) const UNIT: u64 = 512;

/// One tree: what it takes by itself, and its regular files, which other trees may share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TreeSize {
    /// Directories and everything else that is not a regular file, in bytes.
    pub(crate) own: u64,
    /// Inode and units of each regular file that takes space, once each.
    pub(crate) files: Vec<(u64, u32)>,
}

impl TreeSize {
    /// Walks a tree without following links or leaving its file system.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut size = Self::default();
        let mut seen = HashSet::new();
        let top = statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
        size.add(&top, &mut seen);
        if is_directory(&top) {
            let directory = openat(rustix::fs::CWD, path, directory_flags(), Mode::empty())?;
            let mut descent = Descent::new(directory)?;
            while let Some(directory) = descent.next()? {
                let inner = size.list(directory, top.st_dev, &mut seen)?;
                descent.found = inner;
            }
        }
        Ok(size)
    }

    /// The whole in bytes.
    pub(crate) fn total(&self) -> u64 {
        self.own
            + self
                .files
                .iter()
                .map(|(_, units)| u64::from(*units) * UNIT)
                .sum::<u64>()
    }

    /// Counts what stands in a directory; gives the directories among it.
    fn list(
        &mut self,
        directory: &OwnedFd,
        device: u64,
        seen: &mut HashSet<u64>,
    ) -> io::Result<Vec<CString>> {
        let mut inner = Vec::new();
        let mut entries = Dir::read_from(directory)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if stat.st_dev != device {
                continue;
            }
            self.add(&stat, seen);
            if is_directory(&stat) {
                inner.push(name.to_owned());
            }
        }
        Ok(inner)
    }

    fn add(&mut self, stat: &Stat, seen: &mut HashSet<u64>) {
        let units = stat.st_blocks.unsigned_abs();
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            self.own += units * UNIT;
        } else if units > 0 && (stat.st_nlink == 1 || seen.insert(stat.st_ino)) {
            self.files
                .push((stat.st_ino, u32::try_from(units).unwrap_or(u32::MAX)));
        }
    }

    /// For the index: twelve bytes a file.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let bytes = |(inode, units): &(u64, u32)| {
            [&inode.to_le_bytes()[..], &units.to_le_bytes()[..]].concat()
        };
        self.files.iter().flat_map(bytes).collect()
    }

    /// What [`Self::pack`] wrote.
    pub(crate) fn unpack(own: u64, packed: &[u8]) -> Option<Self> {
        if !packed.len().is_multiple_of(12) {
            return None;
        }
        let file = |bytes: &[u8]| {
            let (inode, units) = bytes.split_at(8);
            Some((
                u64::from_le_bytes(inode.try_into().ok()?),
                u32::from_le_bytes(units.try_into().ok()?),
            ))
        };
        let files = packed
            .chunks_exact(12)
            .map(file)
            .collect::<Option<Vec<_>>>()?;
        Some(Self { own, files })
    }
}

/// What several trees on one file system take together.
#[derive(Debug, Default)]
pub(crate) struct Union {
    seen: HashSet<u64>,
    bytes: u64,
}

impl Union {
    /// Adds a tree; gives how many bytes it brought that were not there yet.
    pub(crate) fn add(&mut self, tree: &TreeSize) -> u64 {
        let new = tree
            .files
            .iter()
            .filter(|(inode, _)| self.seen.insert(*inode));
        let bytes = tree.own + new.map(|(_, units)| u64::from(*units) * UNIT).sum::<u64>();
        self.bytes += bytes;
        bytes
    }

    /// Everything added.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub(crate) fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::removal::remove_counted;

    #[test]
    fn hard_links_count_once_and_free_last() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        fs::create_dir_all(a.join("sub")).unwrap();
        fs::create_dir(&b).unwrap();
        fs::write(a.join("sub/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(a.join("sub/file"), a.join("twice")).unwrap();
        fs::hard_link(a.join("sub/file"), b.join("thrice")).unwrap();
        fs::write(b.join("own"), vec![1; 50_000]).unwrap();
        let (sizes, mut union) = (
            [TreeSize::of(&a).unwrap(), TreeSize::of(&b).unwrap()],
            Union::default(),
        );
        assert_eq!(sizes[0].files.len(), 1);
        let first = union.add(&sizes[0]);
        let second = union.add(&sizes[1]);
        assert!(first >= 100_000 && (50_000..100_000).contains(&second));
        for size in &sizes {
            assert_eq!(
                TreeSize::unpack(size.own, &size.pack()).as_ref(),
                Some(size)
            );
        }
        assert!(remove_counted(&a).unwrap() < 100_000);
        assert!(remove_counted(&b).unwrap() >= 150_000);
        assert_eq!(remove_counted(&b).unwrap(), 0);
        assert_eq!(TreeSize::unpack(0, &[1, 2, 3]), None);
    }
}
