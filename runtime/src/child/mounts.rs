//! Mounts on paths of the container.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, FileType};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags, mount_change, open_tree,
};

use super::device::{decimal, octal};
use super::kernel::attach;
use super::root::detached;
use super::{Child, Context, Done, resolve};
use crate::plan::Source;
use crate::report::Record;
use crate::sys::mount::{NO_DEV, NO_EXEC, NO_SUID, READ_ONLY, RECURSIVE, change};

impl<'a> Child<'a> {
    pub(super) fn mount(
        &self,
        target: &'a CStr,
        source: &'a Source,
        read_only: bool,
        no_exec: bool,
        propagation: u64,
    ) -> Done<'a> {
        let (mount, directory) = self.open_source(target, source)?;
        let tmpfs = matches!(source, Source::Tmpfs { .. });
        let device = matches!(source, Source::Device { .. });
        // Private files are read-only where they come from.
        if !matches!(source, Source::Content { .. }) {
            let attributes = [
                (!device, NO_DEV),
                (device, NO_EXEC),
                (tmpfs || device, NO_SUID),
                (read_only, READ_ONLY),
                (no_exec, NO_EXEC),
            ]
            .iter()
            .fold(
                0,
                |all, (wanted, bit)| if *wanted { all | bit } else { all },
            );
            // A copy of a mount of the host belongs to its peers until it is told not to.
            match change(mount.as_fd(), RECURSIVE, attributes, propagation) {
                // Before 5.12. A mount of the host may have others below it, on which devices must not work either.
                Err(Errno::NOSYS) if !matches!(source, Source::Detached { .. }) => {
                    let place = self.target(target, directory)?;
                    attach(&mount, &place).doing_to("mount on", target)?;
                    return self
                        .remount(&mount, attributes, propagation)
                        .doing_to("set attributes of the mount on", target);
                }
                other => other.doing_to("set attributes of the mount on", target)?,
            }
        }
        let place = self.target(target, directory)?;
        attach(&mount, &place).doing_to("mount on", target)
    }

    /// Sets attributes of a mount that is attached and has none below it, in the way of older kernels.
    fn remount(&self, mount: &OwnedFd, attributes: u64, propagation: u64) -> Result<(), Errno> {
        let flags = [
            (NO_DEV, MountFlags::NODEV),
            (NO_SUID, MountFlags::NOSUID),
            (READ_ONLY, MountFlags::RDONLY),
            (NO_EXEC, MountFlags::NOEXEC),
        ]
        .iter()
        .filter(|(bit, _)| attributes & bit != 0)
        .fold(MountFlags::BIND, |all, (_, flag)| all | *flag);
        // Our own procfs is the one way from a descriptor to a path, for files too.
        rustix::process::fchdir(self.proc.as_ref().ok_or(Errno::BADF)?)?;
        let mut path = *b"self/fd/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let mut digits = [0; 24];
        let digits = decimal(mount.as_raw_fd() as u64, &mut digits).to_bytes();
        path[8..8 + digits.len()].copy_from_slice(digits);
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::INVAL)?;
        rustix::mount::mount_remount(path, flags, c"")?;
        match propagation {
            0 => Ok(()),
            kind => mount_change(path, MountPropagationFlags::from_bits_retain(kind as u32)),
        }
    }

    /// A detached mount of the source, and whether it is a directory.
    fn open_source(&self, target: &'a CStr, source: &'a Source) -> Done<'a, (OwnedFd, bool)> {
        match source {
            Source::Detached { fd, directory } => {
                let fd = self.fd(*fd)?;
                let mount =
                    rustix::io::fcntl_dupfd_cloexec(fd, 3).doing_to("use the mount for", target)?;
                Ok((mount, *directory))
            }
            Source::Device { fd } => {
                let mount = rustix::io::fcntl_dupfd_cloexec(self.fd(*fd)?, 3)
                    .doing_to("use the mount for", target)?;
                Ok((mount, false))
            }
            Source::Path { path } => {
                let mount = copy(path).doing_to("open the source", path)?;
                let directory = is_directory(&mount).doing_to("look at the source", path)?;
                Ok((mount, directory))
            }
            Source::Content { index } => {
                let path = self.launch.contents.get(*index as usize);
                let path = path
                    .ok_or(Errno::BADF)
                    .doing_to("find the private file for", target)?;
                Ok((
                    copy(path).doing_to("open the private file for", target)?,
                    false,
                ))
            }
            Source::Tmpfs {
                size,
                mode,
                uid,
                gid,
            } => Ok((
                tmpfs(*size, *mode, *uid, *gid).doing_to("mount a tmpfs on", target)?,
                true,
            )),
        }
    }

    /// The mount point, created in the upper directory if it is missing.
    fn target(&self, target: &'a CStr, directory: bool) -> Done<'a, OwnedFd> {
        let root = self.root()?;
        match resolve::existing(root, target, directory) {
            Err(Errno::NOENT | Errno::NOSYS | Errno::AGAIN) => {}
            other => return other.doing_to("open the mount point", target),
        }
        let upper = self.overlay.map(|overlay| overlay.upper.as_c_str());
        let mut report = |stub| {
            let mut batch = self.batch.borrow_mut();
            batch.add(&Record::Stub { stub }, self.reporter)
        };
        resolve::create(root, target, directory, upper, &mut report)
            .doing_to("create the mount point", target)
    }
}

/// A private copy of a mount of the zygote's namespace, from `path` on.
fn copy(path: &CStr) -> Result<OwnedFd, Errno> {
    open_tree(
        CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
}

fn is_directory(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

fn tmpfs(size: u64, mode: u32, uid: u32, gid: u32) -> Result<OwnedFd, Errno> {
    let (mut size_text, mut mode_text) = ([0; 24], [0; 24]);
    let (mut uid_text, mut gid_text) = ([0; 24], [0; 24]);
    let options = [
        (c"mode", octal(mode, &mut mode_text)),
        (c"uid", decimal(uid.into(), &mut uid_text)),
        (c"gid", decimal(gid.into(), &mut gid_text)),
        (c"size", decimal(size, &mut size_text)),
    ];
    let count = if size == 0 { 3 } else { 4 };
    detached(c"tmpfs", &options[..count], MountAttrFlags::empty())
}
