//! Trees as tar archives, both ways, by held descriptors.
//!
//! What is packed may change meanwhile, and what is unpacked may come from anybody: no link is followed on the way into an
//! entry, and the way to an entry's directory resolves inside the root that was given.

mod pack;
#[cfg(test)]
mod tests;
mod unpack;

pub(super) use pack::pack_changes;
pub use pack::{PackOptions, pack, size};
pub use unpack::{Owner, UnpackOptions, unpack};

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// Opens a path inside `root` as its processes would, links included, but never through procfs.
pub fn resolve(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    openat2(
        root,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}
