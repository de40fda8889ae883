//! `stat` and its kin: what is written down is shown.

use std::os::fd::AsFd;

use kiln_store::tree::OwnerRecord;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;

use super::Owners;
use super::place::follow;
use crate::sys::notify::{self, Notification, Reply};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Stat,
    Lstat,
    Fstat,
    Fstatat,
    Statx,
}

pub(super) const CALLS: &[(&str, Call)] = &[
    ("stat", Call::Stat),
    ("lstat", Call::Lstat),
    ("fstat", Call::Fstat),
    ("newfstatat", Call::Fstatat),
    ("statx", Call::Statx),
];

/// How `statx` is to synchronise (`AT_STATX_SYNC_TYPE`).
const SYNC: u64 = 0x6000;

impl Owners {
    pub(super) fn look(&mut self, call: Call, asked: &Notification) -> Result<Reply, Errno> {
        // Errors are the kernel's to give, and what belongs to root is so on disk.
        match self.recorded(call, asked) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) | Err(_) => Ok(Reply::Go),
        }
    }

    fn recorded(&mut self, call: Call, asked: &Notification) -> Result<Option<Reply>, Errno> {
        let [first, second, third, fourth, fifth, _] = asked.arguments;
        let here = libc::AT_FDCWD as u64;
        let no_follow = libc::AT_SYMLINK_NOFOLLOW as u64;
        let (directory, path, flags, result) = match call {
            Call::Stat => (here, Some(first), 0, second),
            Call::Lstat => (here, Some(first), no_follow, second),
            Call::Fstat => (first, None, 0, second),
            Call::Fstatat => (first, Some(second), fourth, third),
            Call::Statx => (first, Some(second), third, fifth),
        };
        let found = match path {
            None => self.places.descriptor(asked.pid, directory)?,
            Some(address) => {
                // A null path means the descriptor itself (6.11).
                let path = match address {
                    0 => Vec::new(),
                    address => self.places.string(asked.pid, address)?,
                };
                if path.is_empty() && flags & libc::AT_EMPTY_PATH as u64 == 0 {
                    return Ok(None);
                }
                self.places
                    .find(asked.pid, directory, &path, follow(flags) | OFlags::empty())?
            }
        };
        let stat = fstat(&found)?;
        let record = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Directory => self.places.record(&found)?,
            FileType::Symlink | FileType::Fifo => {
                let owner = self.places.owner_of_link(&found)?;
                let mode = None;
                owner.map(|(uid, gid)| OwnerRecord { uid, gid, mode })
            }
            _ => None,
        };
        let Some(OwnerRecord { uid, gid, mode }) = record else {
            return Ok(None);
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let mode = mode
            .filter(|mode| OwnerRecord::mode_on_disk(is_directory, *mode) == stat.st_mode & 0o7777);
        let bytes = match call {
            Call::Statx => {
                let flags = (flags & SYNC) as i32;
                let mask = fourth as u32;
                notify::extended_status(found.as_fd(), flags, mask, (uid, gid), mode)?
            }
            _ => notify::status(found.as_fd(), uid, gid, mode)?,
        };
        self.still_asks(asked)?;
        self.places.write(asked.pid, result, &bytes)?;
        Ok(Some(Reply::Value(0)))
    }
}
