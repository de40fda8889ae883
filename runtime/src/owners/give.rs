//! `chown` and its kin.

use std::os::fd::OwnedFd;

use kiln_store::tree::OwnerRecord;
use rustix::fs::{AtFlags, FileType, Gid, OFlags, Uid, chownat, fstat};
use rustix::io::Errno;

use super::Owners;
use super::place::follow;
use crate::sys::notify::{Notification, Reply};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Chown,
    Lchown,
    Fchown,
    Fchownat,
}

pub(super) const CALLS: &[(&str, Call)] = &[
    ("chown", Call::Chown),
    ("lchown", Call::Lchown),
    ("fchown", Call::Fchown),
    ("fchownat", Call::Fchownat),
];

/// "As it is", for a user or group.
pub(super) const UNCHANGED: u32 = u32::MAX;
/// Set-user-id and set-group-id: a change of owner takes them from files.
const SET_ID_BITS: u32 = 0o6000;

impl Owners {
    pub(super) fn give(&mut self, call: Call, asked: &Notification) -> Result<Reply, Errno> {
        let [first, second, third, fourth, fifth, _] = asked.arguments;
        let here = libc::AT_FDCWD as u64;
        let (directory, path, uid, gid, flags) = match call {
            Call::Chown => (here, Some(first), second, third, 0),
            Call::Lchown => (
                here,
                Some(first),
                second,
                third,
                libc::AT_SYMLINK_NOFOLLOW as u64,
            ),
            Call::Fchown => (first, None, second, third, libc::AT_EMPTY_PATH as u64),
            Call::Fchownat => (first, Some(second), third, fourth, fifth),
        };
        let known = (libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) as u64;
        if flags & !known != 0 {
            return Err(Errno::INVAL);
        }
        let found = match path {
            None => self.places.descriptor(asked.pid, directory)?,
            Some(address) => {
                let path = self.places.string(asked.pid, address)?;
                if path.is_empty() && flags & libc::AT_EMPTY_PATH as u64 == 0 {
                    return Err(Errno::NOENT);
                }
                self.places
                    .find(asked.pid, directory, &path, follow(flags))?
            }
        };
        self.still_asks(asked)?;
        let (uid, gid) = (uid as u32, gid as u32);
        if !self
            .identities
            .of(asked.pid)
            .may_give(self.owner(&found)?, uid, gid)
        {
            return Err(Errno::PERM);
        }
        self.change(&found, uid, gid)?;
        Ok(Reply::Value(0))
    }

    /// Gives a file to the only id there is, so that all else happens that a change of owner brings with it, and writes the owner
    /// down.
    fn change(&self, found: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
        if (uid, gid) == (UNCHANGED, UNCHANGED) {
            return Ok(());
        }
        match chownat(
            found,
            c"",
            Some(Uid::ROOT),
            Some(Gid::ROOT),
            AtFlags::EMPTY_PATH,
        ) {
            // Somebody else's, on a mount from outside: nothing of the container's layer.
            Err(Errno::PERM | Errno::INVAL) => return Err(Errno::PERM),
            changed => changed?,
        }
        let stat = fstat(found)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            let before = self.places.owner_of_link(found)?.unwrap_or_default();
            return self
                .places
                .note(found, keep(uid, before.0), keep(gid, before.1));
        }
        let before = self.places.record(found)?.unwrap_or_default();
        let lost = match kind {
            FileType::RegularFile => SET_ID_BITS,
            _ => 0,
        };
        let record = OwnerRecord {
            uid: keep(uid, before.uid),
            gid: keep(gid, before.gid),
            mode: before.mode.map(|mode| mode & !lost),
        };
        self.places.set_record(found, record)
    }

    /// What something belongs to.
    fn owner(&self, found: &OwnedFd) -> Result<(u32, u32), Errno> {
        Ok(match FileType::from_raw_mode(fstat(found)?.st_mode) {
            FileType::RegularFile | FileType::Directory => {
                let record = self.places.record(found)?.unwrap_or_default();
                (record.uid, record.gid)
            }
            _ => self.places.owner_of_link(found)?.unwrap_or_default(),
        })
    }

    /// Writes down what something new belongs to.
    pub(super) fn own(&self, found: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
        match FileType::from_raw_mode(fstat(found)?.st_mode) {
            FileType::RegularFile | FileType::Directory => {
                let mode = None;
                self.places
                    .set_record(found, OwnerRecord { uid, gid, mode })
            }
            _ => self.places.note(found, uid, gid),
        }
    }
}

/// An id after a change.
fn keep(new: u32, old: u32) -> u32 {
    if new == UNCHANGED { old } else { new }
}

/// How something new is found.
pub(super) const NEW: OFlags = OFlags::NOFOLLOW;
