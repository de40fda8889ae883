//! Renaming: files and directories take their records along, links need help.

use rustix::fs::{AtFlags, FileType, Gid, OFlags, Uid, chownat, fstat};
use rustix::io::Errno;

use super::Owners;
use crate::sys::notify::{Notification, Reply};

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Rename,
    Renameat,
}

pub(super) const CALLS: &[(&str, Call)] = &[
    ("rename", Call::Rename),
    ("renameat", Call::Renameat),
    ("renameat2", Call::Renameat),
];

impl Owners {
    /// The kernel renames in any case.
    pub(super) fn rename(&mut self, call: Call, asked: &Notification) -> Result<Reply, Errno> {
        if self.places.knows_links() {
            // What can't be found can't be renamed, which the kernel says.
            let _ = self.take_along(call, asked);
        }
        Ok(Reply::Go)
    }

    /// Copies a link up before overlay does, so that its owner can be written down.
    fn take_along(&mut self, call: Call, asked: &Notification) -> Result<(), Errno> {
        let [first, second, ..] = asked.arguments;
        let (directory, path) = match call {
            Call::Rename => (libc::AT_FDCWD as u64, first),
            Call::Renameat => (first, second),
        };
        let path = self.places.string(asked.pid, path)?;
        let found = self
            .places
            .find(asked.pid, directory, &path, OFlags::NOFOLLOW)?;
        let kind = FileType::from_raw_mode(fstat(&found)?.st_mode);
        if matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Ok(());
        }
        let Some((uid, gid)) = self.places.owner_of_link(&found)? else {
            return Ok(());
        };
        self.still_asks(asked)?;
        let (root, group) = (Some(Uid::ROOT), Some(Gid::ROOT));
        chownat(&found, c"", root, group, AtFlags::EMPTY_PATH)?;
        self.places.note(&found, uid, gid)
    }
}
