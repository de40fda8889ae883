//! Mounts that lie nowhere: made here, handed to a launch as a descriptor.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

use crate::MountSource;

/// The name of the one file in a private file's mount.
const PRIVATE: &std::ffi::CStr = c"file";

impl MountSource {
    /// Takes hold of a file, directory or socket of the host, wherever it lies, with what is mounted below it.
    pub fn detach(path: &Path) -> io::Result<Self> {
        Self::detach_path(path, true)
    }

    /// The same; what is mounted below it comes along only if `recursive`.
    pub fn detach_path(path: &Path, recursive: bool) -> io::Result<Self> {
        let node = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Self::detach_node(node.as_fd(), recursive)
    }

    /// The same for something that was opened before, so that no path is looked up again. With `recursive`, what is mounted
    /// below comes along.
    pub fn detach_node(node: BorrowedFd<'_>, recursive: bool) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let flags = if recursive {
            flags | OpenTreeFlags::AT_RECURSIVE
        } else {
            flags
        };
        let mount = open_tree(node, c"", flags)?;
        let directory = FileType::from_raw_mode(fstat(&mount)?.st_mode) == FileType::Directory;
        Ok(Self::Detached {
            mount: Arc::new(mount),
            directory,
        })
    }

    /// A file in memory with this content and owner: it is never on any disk and ends with its mount. Before Linux 6.15,
    /// which can't take a part of such a mount, it is a file of the launcher's that every user of the step may read.
    pub fn private_file(content: &[u8], mode: u32, uid: u32, gid: u32) -> io::Result<Self> {
        let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, c"mode", c"700")?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
        let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&root, PRIVATE, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(content)?;
        let file = OwnedFd::from(file);
        fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        fchmod(&file, Mode::from_raw_mode(mode))?;
        drop(file);
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        match open_tree(&root, PRIVATE, flags) {
            Ok(mount) => Ok(Self::Detached {
                mount: Arc::new(mount),
                directory: false,
            }),
            Err(Errno::INVAL) => Ok(Self::Content(content.to_vec())),
            Err(error) => Err(error.into()),
        }
    }
}
