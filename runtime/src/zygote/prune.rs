//! Leaves the host's mounts behind.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_bind, mount_change,
    mount_remount, move_mount, open_tree,
};

use super::place;
use crate::child::{NODES, leave_old_root};
use crate::sys;

/// What failed, and why.
pub(super) type Pruned<T = ()> = Result<T, (&'static str, Errno)>;

/// Room for private files: hosts, resolv.conf and host names of the steps of one engine.
const CONTENT_SIZE: &CStr = c"64m";

/// A mount that is taken along, and where to.
struct Luggage {
    mount: OwnedFd,
    to: &'static CStr,
    directory: bool,
}

/// Moves this process into a mount namespace that holds the store and what [`place`] lists.
pub(super) fn prune(store: &OwnedFd, user_namespace: bool) -> Pruned {
    let luggage = pack(store, user_namespace)?;
    sys::process::unshare(libc::CLONE_NEWNS)
        .map_err(|errno| ("create a mount namespace", errno))?;
    mount_change(
        c"/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(|errno| ("make mounts private", errno))?;
    new_root().map_err(|errno| ("mount the launcher's root", errno))?;
    for item in luggage {
        unpack(&item).map_err(|errno| ("take mounts along", errno))?;
    }
    if !user_namespace {
        make_nodes().map_err(|errno| ("make device nodes", errno))?;
    }
    read_only_binds().map_err(|errno| ("protect the launcher's files", errno))?;
    check_null().map_err(|errno| ("use the null device", errno))
}

/// Copies the mounts that are taken along while their paths still exist.
fn pack(store: &OwnedFd, user_namespace: bool) -> Pruned<Vec<Luggage>> {
    let recursive = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(store, c"", recursive | OpenTreeFlags::AT_EMPTY_PATH)
        .map_err(|errno| ("copy the store's mount", errno))?;
    let mut luggage = vec![Luggage {
        mount,
        to: place::STORE,
        directory: true,
    }];
    if user_namespace {
        for path in [place::HOST_PROC, place::HOST_SYS] {
            let mount = open_tree(CWD, path, recursive)
                .map_err(|errno| ("copy the mounts of /proc and /sys", errno))?;
            luggage.push(Luggage {
                mount,
                to: path,
                directory: true,
            });
        }
        for (_, path, _) in NODES {
            let mount = open_tree(
                CWD,
                path,
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
            )
            .map_err(|errno| ("copy the host's device nodes", errno))?;
            luggage.push(Luggage {
                mount,
                to: path,
                directory: false,
            });
        }
    }
    Ok(luggage)
}

/// Mounts a tmpfs, makes it the root and drops all else.
fn new_root() -> Result<(), Errno> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"mode", c"755")?;
    fsconfig_set_string(&context, c"size", CONTENT_SIZE)?;
    fsconfig_create(&context)?;
    let root = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID,
    )?;
    move_mount(
        &root,
        c"",
        CWD,
        c"/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    rustix::process::fchdir(&root)?;
    leave_old_root(true)?;
    mount_change(
        c"/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    for directory in [
        place::STORE,
        place::NEW_ROOT,
        place::STAGE,
        place::STAGE_PROC,
        place::STAGE_SYS,
        place::STAGE_DEV,
        place::EMPTY,
        place::CONTENT,
        place::SHOWN,
        place::DEV,
    ] {
        mkdirat(CWD, directory, Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}

fn unpack(item: &Luggage) -> Result<(), Errno> {
    if !item.directory {
        mknodat(
            CWD,
            item.to,
            FileType::RegularFile,
            Mode::from_raw_mode(0o666),
            0,
        )?;
    } else if item.to != place::STORE {
        mkdirat(CWD, item.to, Mode::from_raw_mode(0o755))?;
    }
    move_mount(
        &item.mount,
        c"",
        CWD,
        item.to,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    mount_change(
        item.to,
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
}

fn make_nodes() -> Result<(), Errno> {
    for (_, path, (major, minor)) in NODES {
        mknodat(
            CWD,
            path,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            makedev(major, minor),
        )?;
    }
    Ok(())
}

/// Children bind from mounts that are read-only already, which saves a call each.
fn read_only_binds() -> Result<(), Errno> {
    let attributes =
        sys::mount::READ_ONLY | sys::mount::NO_SUID | sys::mount::NO_DEV | sys::mount::NO_EXEC;
    for (from, to) in [(place::EMPTY, place::EMPTY), (place::CONTENT, place::SHOWN)] {
        mount_bind(from, to)?;
        match sys::mount::set_attributes(CWD.as_fd(), to, 0, attributes) {
            // Before 5.12.
            Err(Errno::NOSYS) => mount_remount(
                to,
                MountFlags::BIND
                    | MountFlags::RDONLY
                    | MountFlags::NOSUID
                    | MountFlags::NODEV
                    | MountFlags::NOEXEC,
                c"",
            )?,
            other => other?,
        }
    }
    Ok(())
}

/// Everything that is hidden from containers is hidden behind this node.
fn check_null() -> Result<(), Errno> {
    let null = openat(
        CWD,
        place::NULL,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = rustix::fs::fstat(&null)?;
    let device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if device && stat.st_rdev == makedev(1, 3) {
        Ok(())
    } else {
        Err(Errno::NODEV)
    }
}
