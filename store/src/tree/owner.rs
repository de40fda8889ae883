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

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{
    AtFlags, Mode, OFlags, StatxFlags, XattrFlags, fgetxattr, fremovexattr, fsetxattr, getxattr,
    lgetxattr, openat, statx,
};
use rustix::io::{Errno, Result};

use super::metadata::{Kind, Metadata};
use super::xattr;
use crate::OverlayXattrs;

/// The attribute with an owner.
pub const OWNER: &str = "user.kiln.owner";
/// The attribute with file capabilities that the kernel would not take.
const CAPABILITY: &str = "user.kiln.capability";
/// Attributes of ours start like this; images have none.
const PREFIX: &[u8] = b"user.kiln.";
/// The table, as seen from the root of its tree.
const TABLE: &str = "../owners";
/// Longer than any record: two ids and a mode.
const RECORD_LIMIT: usize = 32;

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
            OverlayXattrs::Recorded => Self::Recorded(Arc::new(Table {
                root: rustix::io::fcntl_dupfd_cloexec(root, 3)?,
                known: Mutex::default(),
            })),
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
    pub(crate) fn make_usable(&self, meta: &Metadata, on_disk: u32, entry: Reach<'_>) -> Result<()> {
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
        table.add(entry, Record::new(uid, gid))
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

/// Inode, and the time of its birth; zeros where the file system does not keep it.
type Key = (u64, i64, u32);

/// The table of a tree, with what was read of it so far.
#[derive(Debug)]
pub(crate) struct Table {
    root: OwnedFd,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// How much of the file was read.
    length: u64,
    records: HashMap<Key, Record>,
}

impl Table {
    fn find(&self, entry: Reach<'_>) -> Result<Option<Record>> {
        let file = match openat(
            &self.root,
            TABLE,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
        ) {
            Err(Errno::NOENT) => return Ok(None),
            file => file?,
        };
        let key = entry.key()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if rustix::fs::fstat(&file)?.st_size.unsigned_abs() > known.length {
            known.read(&file)?;
        }
        Ok(known.records.get(&key).copied())
    }

    fn add(&self, entry: Reach<'_>, record: Record) -> Result<()> {
        let (inode, seconds, nanoseconds) = entry.key()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let file = openat(
            &self.root,
            TABLE,
            flags | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
        )?;
        let Record { uid, gid, .. } = record;
        let line = format!("{inode} {seconds}.{nanoseconds} {uid} {gid}\n");
        let failed =
            |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        std::fs::File::from(file)
            .write_all(line.as_bytes())
            .map_err(failed)
    }
}

impl Known {
    fn read(&mut self, file: &OwnedFd) -> Result<()> {
        let mut text = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            match rustix::io::pread(file, &mut buffer, self.length + text.len() as u64) {
                Ok(0) => break,
                Ok(length) => text.extend_from_slice(&buffer[..length]),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        // A line that is being written at this moment is read whole the next time.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&text[..whole]).lines() {
            if let Some((key, record)) = parse_line(line) {
                self.records.insert(key, record);
            }
        }
        self.length += whole as u64;
        Ok(())
    }
}

fn parse_line(line: &str) -> Option<(Key, Record)> {
    let mut fields = line.split_whitespace();
    let inode = fields.next()?.parse().ok()?;
    let (seconds, nanoseconds) = fields.next()?.split_once('.')?;
    let key = (inode, seconds.parse().ok()?, nanoseconds.parse().ok()?);
    let uid = fields.next()?.parse().ok()?;
    Some((key, Record::new(uid, fields.next()?.parse().ok()?)))
}

/// What is written down of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Record {
    uid: u32,
    gid: u32,
    mode: Option<u32>,
}

impl Record {
    fn new(uid: u32, gid: u32) -> Self {
        let mode = None;
        Self { uid, gid, mode }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut fields = text.split(':');
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mode = match fields.next() {
            Some(mode) => Some(u32::from_str_radix(mode, 8).ok()?),
            None => None,
        };
        Some(Self { uid, gid, mode })
    }

    fn text(&self) -> String {
        let Self { uid, gid, .. } = self;
        match self.mode {
            Some(mode) => format!("{uid}:{gid}:{mode:o}"),
            None => format!("{uid}:{gid}"),
        }
    }
}

/// What is recorded of a file or directory. A record that makes no sense counts as none: a container may write what it likes, and
/// it is about its own files alone.
fn read(entry: Reach<'_>) -> Result<Option<Record>> {
    let mut value = [0; RECORD_LIMIT];
    match entry.get(OWNER, &mut value) {
        Ok(length) => Ok(Record::parse(&value[..length])),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE | Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes down the owner and mode of an open file or directory. What belongs to root and has a mode to work with needs no record.
pub(crate) fn write(
    file: impl AsFd,
    kind: Kind,
    uid: u32,
    gid: u32,
    mode: u32,
) -> Result<()> {
    let mode = (usable(kind, mode) != mode).then_some(mode);
    let record = Record { uid, gid, mode };
    if record == Record::default() {
        return match fremovexattr(file, OWNER) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            result => result,
        };
    }
    fsetxattr(file, OWNER, record.text().as_bytes(), XattrFlags::empty())
}

/// Sets file capabilities as an attribute of ours, where the kernel lets nobody but root set them.
pub(crate) fn write_capability(file: impl AsFd, value: &[u8]) -> Result<()> {
    fsetxattr(file, CAPABILITY, value, XattrFlags::empty())
}

/// A mode with which the owner can work: reads and writes files, enters and changes directories.
fn usable(kind: Kind, mode: u32) -> u32 {
    match kind {
        Kind::Directory => mode | 0o700,
        Kind::File => mode | 0o600,
        _ => mode,
    }
}

/// True for attributes that only kiln sets.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Takes our attributes out of those of an entry; capabilities that are recorded take their own name again.
pub(crate) fn without_records(xattrs: &mut xattr::Xattrs) {
    if !xattrs.iter().any(|(name, _)| is_ours(name)) {
        return;
    }
    let has = xattrs.iter().any(|(name, _)| name == xattr::CAPABILITY);
    for (name, _) in xattrs.iter_mut() {
        if !has && name == CAPABILITY.as_bytes() {
            *name = xattr::CAPABILITY.to_vec();
        }
    }
    xattrs.retain(|(name, _)| !is_ours(name));
    xattrs.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_as_they_were_written() {
        for record in [
            Record::new(0, 4_294_967_294),
            Record { uid: 33, gid: 7, mode: Some(0o4555) },
        ] {
            assert_eq!(Record::parse(record.text().as_bytes()), Some(record));
            assert!(record.text().len() <= RECORD_LIMIT);
        }
        for nonsense in ["", "1", "1:", "a:b", "1:2:9", "-1:2"] {
            assert_eq!(Record::parse(nonsense.as_bytes()), None, "{nonsense}");
        }
    }

    #[test]
    fn capabilities_take_their_own_name_again() {
        let mut xattrs = vec![
            (OWNER.as_bytes().to_vec(), b"1:1".to_vec()),
            (CAPABILITY.as_bytes().to_vec(), b"value".to_vec()),
            (b"user.zebra".to_vec(), vec![]),
        ];
        without_records(&mut xattrs);
        let names: Vec<_> = xattrs.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [xattr::CAPABILITY, b"user.zebra"]);
    }

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
        owners.note(Reach::Name(root.as_fd(), b"one"), 5, 6).unwrap();
        assert_eq!((look(b"one"), look(b"two")), ((5, 6), (0, 0)));
        owners.note(Reach::Name(root.as_fd(), b"one"), 7, 8).unwrap();
        std::fs::rename(tree.join("one"), tree.join("three")).unwrap();
        assert_eq!(look(b"three"), (7, 8));
    }
}
