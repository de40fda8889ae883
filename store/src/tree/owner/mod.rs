//! Who keeps the owners of entries: the file system, or we, where a user has no ids to give files to.
//!
//! With [`OverlayXattrs::Recorded`] all files on disk belong to the one user there is. What they belong to in the image is
//! written down: for files and directories in the extended attribute `user.kiln.owner`, which overlay copies up and which moves
//! with the file; for links and pipes, which have no such attributes, in a table beside the tree:
//!
//! ```text
//! <layer>/fs       the tree
//! <layer>/owners   lines of `INODE SECONDS.NANOSECONDS UID GID`; the time is that of the inode's birth. Later lines win.
//! ```
//!
//! What has no record belongs to root. A record may also hold a mode (`UID:GID:MODE`): the mode that the image means, where its
//! owner could not read the file or enter the directory otherwise. It counts only as long as the file has the mode that was
//! given to it in its place.
//!
//! The table is only ever appended to, a whole line at a time, so several processes may write.

mod record;
mod table;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fgetxattr, getxattr, lgetxattr, statx};
use rustix::io::{Errno, Result};

use super::metadata::{Kind, Metadata};
use super::xattr;
use crate::OverlayXattrs;
pub use record::{OWNER, OwnerRecord, is_ours, record_of, record_owner};
use record::{read, usable};
pub(crate) use record::{without_records, write, write_capability};
pub use table::OwnerTable;
use table::{Key, Table};

/// How a tree keeps the owners of its entries. Clones share what they know.
#[derive(Debug, Clone)]
pub(crate) enum Owners {
    /// As the file system has them.
    Kernel,
    /// In records.
    Recorded(Arc<Table>),
}

/// An entry, by a descriptor (which may be only a path) or by its name in a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'a> {
    Open(BorrowedFd<'a>),
    Name(BorrowedFd<'a>, &'a [u8]),
}

impl Owners {
    /// Those of the tree with this root.
    pub(crate) fn of(family: OverlayXattrs, root: impl AsFd) -> Result<Self> {
        Ok(match family {
            OverlayXattrs::Recorded => Self::Recorded(Arc::new(Table::of(root)?)),
            OverlayXattrs::Trusted | OverlayXattrs::User => Self::Kernel,
        })
    }

    /// Puts what is recorded of an entry in the place of what `stat` said.
    pub(crate) fn correct(&self, meta: Metadata, entry: Reach<'_>) -> Result<Metadata> {
        let Self::Recorded(table) = self else {
            return Ok(meta);
        };
        if meta.is_whiteout() {
            return Ok(meta);
        }
        let record = match meta.kind {
            Kind::File | Kind::Directory => read(entry)?,
            _ => table.find(entry)?,
        };
        let record = record.unwrap_or_default();
        let mode = record
            .mode
            .filter(|mode| usable(meta.kind, *mode) == meta.mode);
        Ok(Metadata {
            uid: record.uid,
            gid: record.gid,
            mode: mode.unwrap_or(meta.mode),
            ..meta
        })
    }

    /// Gives a file or directory a mode that its owner can work with, where it has none, and records the one that is meant.
    pub(crate) fn make_usable(
        &self,
        meta: &Metadata,
        on_disk: u32,
        entry: Reach<'_>,
    ) -> Result<()> {
        let wanted = self.mode_on_disk(meta.kind, meta.mode);
        if wanted == on_disk || !matches!(meta.kind, Kind::File | Kind::Directory) {
            return Ok(());
        }
        let path = match entry {
            Reach::Open(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes(),
            Reach::Name(directory, name) => xattr::through_proc(directory, name),
        };
        // Nobody else works in this tree: the name is still the file or directory that was looked at.
        rustix::fs::chmod(path.as_slice(), Mode::from_raw_mode(wanted))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path.as_slice(), flags, Mode::empty())?;
        write(file, meta.kind, meta.uid, meta.gid, meta.mode)
    }

    /// The mode that an entry gets on disk.
    pub(crate) fn mode_on_disk(&self, kind: Kind, mode: u32) -> u32 {
        match self {
            Self::Kernel => mode,
            Self::Recorded(_) => usable(kind, mode),
        }
    }

    /// Writes down the owner and mode of a link or pipe.
    pub(crate) fn note(&self, entry: Reach<'_>, uid: u32, gid: u32) -> Result<()> {
        let Self::Recorded(table) = self else {
            return Ok(());
        };
        table.add(entry, OwnerRecord::new(uid, gid))
    }
}

impl Reach<'_> {
    fn get(self, attribute: &str, value: &mut [u8]) -> Result<usize> {
        match self {
            Self::Open(file) => match fgetxattr(file, attribute, &mut *value) {
                // Opened as a path only.
                Err(Errno::BADF) => getxattr(
                    format!("/proc/self/fd/{}", file.as_raw_fd()),
                    attribute,
                    value,
                ),
                result => result,
            },
            Self::Name(directory, name) => {
                let path = xattr::through_proc(directory, name);
                lgetxattr(path.as_slice(), attribute, value)
            }
        }
    }

    /// What tells an inode from all others that had or will have its number.
    fn key(self) -> Result<Key> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let stat = match self {
            Self::Open(file) => statx(file, c"", flags | AtFlags::EMPTY_PATH, wanted)?,
            Self::Name(directory, name) => statx(directory, name, flags, wanted)?,
        };
        Ok((stat.stx_ino, stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
    }
}

/// Gives a directory to somebody: to the file system, or in a record.
pub fn give_directory(
    family: OverlayXattrs,
    directory: impl AsFd,
    uid: u32,
    gid: u32,
    mode: u32,
) -> Result<()> {
    let mode_on_disk = match family {
        OverlayXattrs::Recorded => {
            write(&directory, Kind::Directory, uid, gid, mode)?;
            usable(Kind::Directory, mode)
        }
        OverlayXattrs::Trusted | OverlayXattrs::User => {
            let (uid, gid) = (
                rustix::fs::Uid::from_raw(uid),
                rustix::fs::Gid::from_raw(gid),
            );
            rustix::fs::fchown(&directory, Some(uid), Some(gid))?;
            mode
        }
    };
    rustix::fs::fchmod(directory, Mode::from_raw_mode(mode_on_disk))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_table_finds_links_by_what_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("fs");
        std::fs::create_dir(&tree).unwrap();
        for name in ["one", "two"] {
            std::os::unix::fs::symlink("target", tree.join(name)).unwrap();
        }
        let root = OwnedFd::from(std::fs::File::open(&tree).unwrap());
        let owners = Owners::of(OverlayXattrs::Recorded, &root).unwrap();
        let look = |name: &[u8]| {
            let stat = rustix::fs::statat(&root, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
            let found = owners.correct(Metadata::from(&stat), Reach::Name(root.as_fd(), name));
            let found = found.unwrap();
            (found.uid, found.gid)
        };
        assert_eq!(look(b"one"), (0, 0));
        owners
            .note(Reach::Name(root.as_fd(), b"one"), 5, 6)
            .unwrap();
        assert_eq!((look(b"one"), look(b"two")), ((5, 6), (0, 0)));
        owners
            .note(Reach::Name(root.as_fd(), b"one"), 7, 8)
            .unwrap();
        std::fs::rename(tree.join("one"), tree.join("three")).unwrap();
        assert_eq!(look(b"three"), (7, 8));
    }
}
