//! Attributes of mounts.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::check;

/// `MOUNT_ATTR_RDONLY` of `linux/mount.h`.
pub const READ_ONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`.
pub const NO_SUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`.
pub const NO_DEV: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC`.
pub const NO_EXEC: u64 = 0x8;

/// `AT_RECURSIVE`: every mount of the tree.
pub const RECURSIVE: i32 = 0x8000;

/// The argument of `mount_setattr`.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets attributes of the mount at `path` below `at` (5.12). With an empty path, of `at` itself.
pub fn set_attributes(at: BorrowedFd<'_>, path: &CStr, flags: i32, set: u64) -> Result<(), Errno> {
    call(
        at.as_raw_fd(),
        path,
        flags,
        &Attributes {
            set,
            clear: 0,
            propagation: 0,
            user_namespace: 0,
        },
    )
}

/// Sets attributes of the mount behind `at`, and how it propagates (`MS_PRIVATE`, `MS_SLAVE` or `MS_SHARED`).
pub fn change(at: BorrowedFd<'_>, flags: i32, set: u64, propagation: u64) -> Result<(), Errno> {
    call(
        at.as_raw_fd(),
        c"",
        flags,
        &Attributes {
            set,
            clear: 0,
            propagation,
            user_namespace: 0,
        },
    )
}

fn call(at: i32, path: &CStr, flags: i32, attributes: &Attributes) -> Result<(), Errno> {
    let flags = flags
        | if path.is_empty() {
            libc::AT_EMPTY_PATH
        } else {
            0
        };
    // SAFETY: path and attributes are valid for the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    })
    .map(drop)
}
