//! The table of a tree: whose the entries are that can have no attributes.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, openat};
use rustix::io::{Errno, Result};

use super::{OwnerRecord, Reach};

/// The table, as seen from the root of its tree.
const TABLE: &str = "../owners";

/// The table of a directory that overlay writes to.
#[derive(Debug)]
pub struct OwnerTable(Table);

impl OwnerTable {
    /// That of the tree with this root.
    pub fn of(root: &OwnedFd) -> Result<Self> {
        Table::of(root).map(Self)
    }

    /// Whether anything is written down.
    #[must_use]
    pub fn exists(&self) -> bool {
        rustix::fs::statat(&self.0.root, TABLE, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// User and group that a link or pipe of the tree belongs to, as far as that is written down.
    pub fn find(&self, entry: BorrowedFd<'_>) -> Result<Option<(u32, u32)>> {
        let found = self.0.find(Reach::Open(entry))?;
        Ok(found.map(|record| (record.uid, record.gid)))
    }

    /// Writes down what a link or pipe of the tree belongs to.
    pub fn note(&self, entry: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<()> {
        self.0.add(Reach::Open(entry), OwnerRecord::new(uid, gid))
    }
}

/// Inode, and the time of its birth; zeros where the file system does not keep it.
pub(super) type Key = (u64, i64, u32);

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
    records: HashMap<Key, OwnerRecord>,
}

impl Table {
    pub(super) fn of(root: impl AsFd) -> Result<Self> {
        Ok(Self {
            root: rustix::io::fcntl_dupfd_cloexec(root, 3)?,
            known: Mutex::default(),
        })
    }

    pub(super) fn find(&self, entry: Reach<'_>) -> Result<Option<OwnerRecord>> {
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

    pub(super) fn add(&self, entry: Reach<'_>, record: OwnerRecord) -> Result<()> {
        let (inode, seconds, nanoseconds) = entry.key()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let file = openat(
            &self.root,
            TABLE,
            flags | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
        )?;
        let OwnerRecord { uid, gid, .. } = record;
        let line = format!("{inode} {seconds}.{nanoseconds} {uid} {gid}\n");
        let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
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
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&text[..whole]).lines() {
            if let Some((key, record)) = parse_line(line) {
                self.records.insert(key, record);
            }
        }
        self.length += whole as u64;
        Ok(())
    }
}

fn parse_line(line: &str) -> Option<(Key, OwnerRecord)> {
    let mut fields = line.split_whitespace();
    let inode = fields.next()?.parse().ok()?;
    let (seconds, nanoseconds) = fields.next()?.split_once('.')?;
    let key = (inode, seconds.parse().ok()?, nanoseconds.parse().ok()?);
    let uid = fields.next()?.parse().ok()?;
    Some((key, OwnerRecord::new(uid, fields.next()?.parse().ok()?)))
}
