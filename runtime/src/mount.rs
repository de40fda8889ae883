//! Sources of mounts, opened once and never looked up again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::MountSource;

impl MountSource {
    /// A detached copy of the mount that `node` is on, from `node` on: a file or a directory with, if `recursive`, all that
    /// is mounted below. Later changes of any path do not matter. The copy can be used for one launch.
    pub fn detach(node: BorrowedFd<'_>, recursive: bool) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let flags = if recursive {
            flags | OpenTreeFlags::AT_RECURSIVE
        } else {
            flags
        };
        let mount = open_tree(node, c"", flags)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&mount)?.st_mode);
        Ok(Self::Detached {
            mount: Arc::new(mount),
            directory: kind == FileType::Directory,
        })
    }

    /// The same for a path of the host that the user has named: links are followed, everything below comes along.
    pub fn detach_path(path: &Path) -> io::Result<Self> {
        let node = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Self::detach(node.as_fd(), true)
    }
}
