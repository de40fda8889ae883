//! The root file system: overlay, and the switch to it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_move,
    move_mount, unmount,
};

use super::{Child, Context, Done};
use crate::plan::Overlay;
use crate::report::Record;
use crate::sys;
use crate::wire::Bytes;
use crate::zygote::place;

impl<'a> Child<'a> {
    pub(super) fn mount_root(&mut self, overlay: &'a Overlay) -> Done<'a> {
        let root = match self.new_overlay(overlay) {
            // Before 5.2 there is no fsopen, before 6.5 no way to add layers one by one, which overlay says when it is created.
            Err(failure)
                if failure.errno == Errno::NOSYS
                    || [ADD_LAYER, CREATE].contains(&failure.what)
                        && failure.errno == Errno::INVAL =>
            {
                classic_overlay(overlay)?
            }
            other => other?,
        };
        self.overlay = Some(overlay);
        self.root = Some(root);
        Ok(())
    }

    /// Mounts through the mount API, layer by layer.
    fn new_overlay(&self, overlay: &'a Overlay) -> Done<'a, OwnedFd> {
        let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).doing("use overlay")?;
        let result = configure(&context, overlay);
        if result.is_err() {
            self.note_kernel_messages(&context);
        }
        result?;
        let root = fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NODEV,
        )
        .doing("mount the root file system")?;
        move_mount(
            &root,
            c"",
            CWD,
            place::NEW_ROOT,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .doing("attach the root file system")?;
        Ok(root)
    }

    /// Passes on what the kernel has to say about a mount that failed.
    fn note_kernel_messages(&self, context: &OwnedFd) {
        let mut buffer = [0_u8; 512];
        while let Ok(length @ 1..) = rustix::io::read(context, &mut buffer) {
            let _ = self.reporter.send(&Record::Note {
                text: Bytes(buffer[..length].to_vec()),
            });
        }
    }

    pub(super) fn protect_root(&self) -> Done<'a> {
        sys::mount::set_attributes(self.root()?, c"", 0, sys::mount::READ_ONLY)
            .or_else(|errno| {
                if errno == Errno::NOSYS {
                    remount_read_only(place::NEW_ROOT, MountFlags::NODEV)
                } else {
                    Err(errno)
                }
            })
            .doing("make the root file system read-only")
    }

    /// Makes the new root the root, and lets go of the old one with everything in it.
    pub(super) fn switch_root(&self) -> Done<'a> {
        rustix::process::fchdir(self.root()?).doing("enter the root file system")?;
        leave_old_root(false).doing("switch to the root file system")
    }
}

/// Makes the mount in which this process stands its root, and lets go of the old one.
///
/// An outer container's seccomp filter may refuse `pivot_root(2)` (Docker's does, also with CAP_SYS_ADMIN), and a root on an initramfs
/// cannot be left with it. Then the mount covers the old root instead, as runc does it: what lies below is out of every path's reach for
/// as long as nobody may unmount. `covers`: whether the mount lies on the old root already.
pub(crate) fn leave_old_root(covers: bool) -> Result<(), Errno> {
    match rustix::process::pivot_root(c".", c".") {
        Ok(()) => unmount(c".", UnmountFlags::DETACH)?,
        Err(Errno::PERM | Errno::INVAL) => {
            if !covers {
                mount_move(c".", c"/")?;
            }
            rustix::process::chroot(c".")?;
        }
        Err(errno) => return Err(errno),
    }
    rustix::process::chdir(c"/")
}

/// Name the steps that tell an old kernel from a real failure.
const ADD_LAYER: &str = "add a layer to the root file system";
const CREATE: &str = "create the root file system on";

/// Options that every overlay gets, because distributions change the kernel's defaults: no renamed or metadata-only entries, which
/// would make an upper directory unreadable on its own, no index, which would tie it to this mount, and no identity, which would be
/// written into it.
const FIXED: [(&CStr, &CStr); 5] = [
    (c"uuid", c"null"),
    (c"index", c"off"),
    (c"redirect_dir", c"nofollow"),
    (c"metacopy", c"off"),
    (c"xino", c"off"),
];

fn configure<'a>(context: &OwnedFd, overlay: &'a Overlay) -> Done<'a> {
    for (option, value) in FIXED {
        match fsconfig_set_string(context, option, value) {
            // Options that this kernel was built without are off.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno).doing_to("configure the root file system", option),
        }
    }
    if overlay.user_xattrs {
        fsconfig_set_flag(context, c"userxattr").doing("use overlay in a user namespace")?;
    }
    if overlay.volatile {
        fsconfig_set_flag(context, c"volatile").doing("configure the root file system")?;
    }
    for lower in &overlay.lowers {
        fsconfig_set_string(context, c"lowerdir+", lower).doing_to(ADD_LAYER, lower)?;
    }
    let upper = overlay.upper.as_c_str();
    fsconfig_set_string(context, c"upperdir", upper).doing_to("use the upper directory", upper)?;
    let work = overlay.work.as_c_str();
    fsconfig_set_string(context, c"workdir", work).doing_to("use the work directory", work)?;
    fsconfig_create(context).doing_to(CREATE, upper)
}

/// Mounts in one call. All options share one page, which the paths of fifty layers fill: so layers go by the names of links
/// in a directory of their own, which the root file system then covers.
fn classic_overlay<'a>(overlay: &'a Overlay) -> Done<'a, OwnedFd> {
    const WHAT: &str = "mount the root file system (in one call)";
    mount(
        c"tmpfs",
        place::NEW_ROOT,
        c"tmpfs",
        MountFlags::NODEV | MountFlags::NOSUID,
        c"mode=0700",
    )
    .doing("mount a directory for the names of layers")?;
    rustix::process::chdir(place::NEW_ROOT).doing_to(
        "enter the directory for the names of layers",
        place::NEW_ROOT,
    )?;
    let link = |path: &'a CStr, name: &CStr| {
        symlinkat(path, CWD, name).doing_to("give a layer a short name", path)
    };
    let mut options = b"index=off,metacopy=off,xino=off".to_vec();
    if overlay.user_xattrs {
        options.extend_from_slice(b",userxattr");
    } else {
        options.extend_from_slice(b",redirect_dir=nofollow");
    }
    if overlay.volatile {
        options.extend_from_slice(b",volatile");
    }
    link(&overlay.upper, c"upper")?;
    link(&overlay.work, c"work")?;
    options.extend_from_slice(b",upperdir=upper,workdir=work");
    for (index, lower) in overlay.lowers.iter().enumerate() {
        let name = index.to_string();
        options.extend_from_slice(if index == 0 { b",lowerdir=" } else { b":" });
        options.extend_from_slice(name.as_bytes());
        let name = CString::new(name).map_err(|_| Errno::INVAL).doing(WHAT)?;
        link(lower, &name)?;
    }
    let options = CString::new(options)
        .map_err(|_| Errno::INVAL)
        .doing(WHAT)?;
    mount(
        c"overlay",
        place::NEW_ROOT,
        c"overlay",
        MountFlags::NODEV,
        options.as_c_str(),
    )
    .doing_to(WHAT, &overlay.upper)?;
    rustix::fs::open(
        place::NEW_ROOT,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing("open the root file system")
}

/// Makes a mount read-only without `mount_setattr`, which replaces all its flags.
pub(super) fn remount_read_only(path: &CStr, others: MountFlags) -> Result<(), Errno> {
    rustix::mount::mount_remount(path, MountFlags::BIND | MountFlags::RDONLY | others, c"")
}

/// A new file system that is not mounted anywhere yet.
pub(super) fn detached(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (option, value) in options {
        fsconfig_set_string(context.as_fd(), *option, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
