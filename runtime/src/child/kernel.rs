//! procfs, sysfs and cgroup2, with what is hidden and protected in them.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, mount_bind, move_mount, open_tree,
};

use super::root::{detached, remount_read_only};
use super::{Child, Context, Done, resolve};
use crate::plan::KernelRoot;
use crate::report::Record;
use crate::sys::mount::{NO_DEV, NO_EXEC, NO_SUID, READ_ONLY, RECURSIVE, set_attributes};
use crate::zygote::place;

/// How Docker mounts the kernel's file systems.
pub(super) const QUIET: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// The same for a classic remount.
const QUIET_FLAGS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

impl<'a> Child<'a> {
    pub(super) fn mount_proc(&mut self) -> Done<'a> {
        let proc = match detached(c"proc", &[], QUIET) {
            // An outer container hides parts of its own, which a new one would show. Bound as it is, it hides them here too.
            Err(Errno::PERM) => {
                self.outer_proc = true;
                copy_outer(place::HOST_PROC)
            }
            other => other,
        }
        .doing_to("mount", c"/proc")?;
        stage(&proc, place::STAGE_PROC).doing_to("mount", c"/proc")?;
        self.proc = Some(proc);
        Ok(())
    }

    /// Moves what was mounted beside the root onto it. The image's own `/proc`, `/sys` and `/dev` are covered before anything in
    /// them is opened.
    pub(super) fn assemble(&self) -> Done<'a> {
        let trees = [
            (&self.proc, c"proc", c"/proc"),
            (&self.sys, c"sys", c"/sys"),
            (&self.dev, c"dev", c"/dev"),
        ];
        for (mount, name, shown) in trees {
            let mount = mount.as_ref().ok_or(Errno::BADF).doing_to("use", shown)?;
            let upper = self.overlay.map(|overlay| overlay.upper.as_c_str());
            let mut report = |stub| {
                let mut batch = self.batch.borrow_mut();
                batch.add(&Record::Stub { stub }, self.reporter)
            };
            let target = resolve::own_directory(self.root()?, name, upper, &mut report)
                .doing_to("make a directory of", shown)?;
            attach(mount, &target).doing_to("mount", shown)?;
        }
        Ok(())
    }

    /// A new sysfs shows the network namespace's devices. In a user namespace that does not own the network namespace the
    /// kernel refuses it; the host's, read-only, then serves as well.
    pub(super) fn mount_sys(&mut self, read_only: bool, cgroup: bool) -> Done<'a> {
        let attributes = if read_only {
            QUIET | MountAttrFlags::MOUNT_ATTR_RDONLY
        } else {
            QUIET
        };
        let sys = match detached(c"sysfs", &[], attributes) {
            Ok(sys) => sys,
            Err(Errno::PERM) => match host_sys() {
                // Before 5.12 there is no way to make it read-only with all that is mounted in it: better none.
                Err(Errno::NOSYS) => open_tree(
                    rustix::fs::CWD,
                    place::EMPTY,
                    OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
                ),
                other => other,
            }
            .doing_to("bind the host's", c"/sys")?,
            Err(errno) => return Err(errno).doing_to("mount", c"/sys"),
        };
        stage(&sys, place::STAGE_SYS).doing_to("mount", c"/sys")?;
        self.mount_cgroup(&sys, attributes, cgroup)?;
        self.sys = Some(sys);
        Ok(())
    }

    /// The own cgroup as the root of a cgroup2 view. Where that can't be had (no cgroup2 at all), or would be the whole host's,
    /// an empty directory is shown.
    fn mount_cgroup(&self, sys: &OwnedFd, attributes: MountAttrFlags, own: bool) -> Done<'a> {
        let Ok(target) = rustix::fs::openat(sys, c"fs/cgroup", O_PATH_DIRECTORY, Mode::empty())
        else {
            return Ok(());
        };
        let view = if own {
            detached(c"cgroup2", &[], attributes)
        } else {
            Err(Errno::NOENT)
        };
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let view = view.or_else(|_| open_tree(rustix::fs::CWD, place::EMPTY, clone));
        let view = view.doing_to("cover", c"/sys/fs/cgroup")?;
        attach(&view, &target).doing_to("mount", c"/sys/fs/cgroup")
    }

    /// Binds an empty read-only directory or the null device over paths. The working directory is the file system itself,
    /// which is ours, so that no path leads through the container.
    pub(super) fn mask(&self, root: KernelRoot, paths: &'a [CString]) -> Done<'a> {
        self.enter_kernel_root(root)?;
        for path in paths {
            let result = match mount_bind(place::NULL, path.as_c_str()) {
                Err(Errno::NOTDIR) => mount_bind(place::EMPTY, path.as_c_str()),
                other => other,
            };
            match result {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).doing_to("hide", path),
            }
        }
        Ok(())
    }

    pub(super) fn protect(&self, root: KernelRoot, paths: &'a [CString]) -> Done<'a> {
        self.enter_kernel_root(root)?;
        for path in paths {
            match mount_bind(path.as_c_str(), path.as_c_str()) {
                Err(Errno::NOENT) => continue,
                other => other.doing_to("protect", path)?,
            }
            match set_attributes(
                rustix::fs::CWD,
                path,
                0,
                READ_ONLY | NO_SUID | NO_DEV | NO_EXEC,
            ) {
                Err(Errno::NOSYS) => remount_read_only(path, QUIET_FLAGS),
                other => other,
            }
            .doing_to("make read-only", path)?;
        }
        Ok(())
    }

    fn enter_kernel_root(&self, root: KernelRoot) -> Done<'a> {
        let fd = match root {
            KernelRoot::Proc => self.proc.as_ref(),
            KernelRoot::Sys => self.sys.as_ref(),
        };
        let fd = fd.ok_or(Errno::BADF).doing("use a kernel file system")?;
        rustix::process::fchdir(fd).doing("enter a kernel file system")
    }

    /// Writes a setting below our own procfs, or says why it can't be.
    pub(super) fn write_setting_exactly(&self, path: &'a CStr, value: &'a CStr) -> Done<'a> {
        if self.outer_proc && !path.to_bytes().starts_with(b"sys/net/") {
            // The first process there is the outer container's.
            return Err(Errno::PERM).doing_to("write the setting", path);
        }
        let proc = self.proc.as_ref().ok_or(Errno::BADF).doing("use /proc")?;
        let how = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = resolve::beneath(proc.as_fd(), path.to_bytes(), how)
            .doing_to("open the setting", path)?;
        rustix::io::write(&file, value.to_bytes())
            .map(drop)
            .doing_to("write the setting", path)
    }

    /// Writes a setting below our own procfs. A kernel without it, or a user namespace with fewer ids than the value
    /// names, keeps its default.
    pub(super) fn write_setting(&self, path: &'a CStr, value: &'a CStr) -> Done<'a> {
        let proc = self.proc.as_ref().ok_or(Errno::BADF).doing("use /proc")?;
        let how = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = match resolve::beneath(proc.as_fd(), path.to_bytes(), how) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(()),
            // Read-only in an outer container, or another namespace's: what is not allowed there is not allowed here.
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::XDEV) => return Ok(()),
            Err(errno) => return Err(errno).doing_to("open the setting", path),
        };
        match rustix::io::write(&file, value.to_bytes()) {
            Ok(_) | Err(Errno::INVAL | Errno::PERM) => Ok(()),
            Err(errno) => Err(errno).doing_to("write the setting", path),
        }
    }
}

const O_PATH_DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A file system of an outer container with all that is mounted in it; what is read-only there is so here.
fn copy_outer(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(rustix::fs::CWD, path, flags).map_err(|errno| match errno {
        // Nothing of an outer one is here: the first refusal stands.
        Errno::NOENT => Errno::PERM,
        errno => errno,
    })
}

/// The host's sysfs with all its mounts, read-only.
fn host_sys() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let sys = open_tree(rustix::fs::CWD, place::HOST_SYS, flags)?;
    set_attributes(
        sys.as_fd(),
        c"",
        RECURSIVE,
        READ_ONLY | NO_SUID | NO_DEV | NO_EXEC,
    )?;
    Ok(sys)
}

/// Attaches a detached mount beside the root: only what is attached somewhere can be mounted on.
pub(super) fn stage(mount: &OwnedFd, place: &CStr) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, c"", rustix::fs::CWD, place, flags)
}

/// Attaches a detached mount on the file or directory behind `target`.
pub(super) fn attach(mount: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}
