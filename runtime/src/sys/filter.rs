//! Restrictions that a process puts on itself: seccomp and Landlock.

use rustix::io::Errno;

use super::check;

/// Loads a classic BPF program of 8-byte instructions as this process's system call filter.
pub fn load_seccomp(program: &[u8]) -> Result<(), Errno> {
    /// `SECCOMP_SET_MODE_FILTER` of `linux/seccomp.h`.
    const SET_MODE_FILTER: libc::c_long = 1;
    if program.is_empty() || !program.len().is_multiple_of(8) {
        return Err(Errno::INVAL);
    }
    let length = u16::try_from(program.len() / 8).map_err(|_| Errno::TOOBIG)?;
    let descriptor = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel copies `length` instructions from the program, which is that long; user copies need no alignment.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const descriptor) })
        .map(drop)
}

/// The Landlock version of this kernel; 0 if there is none.
pub fn landlock_version() -> u32 {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
    const VERSION: libc::c_long = 1;
    // SAFETY: asks for the version only.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, VERSION) })
        .map_or(0, |version| version as u32)
}

/// Puts abstract Unix sockets of processes outside out of reach (Landlock 6, Linux 6.12). Signals need no scope, which would part an
/// exec from the container that it is in: no process outside has a number in the container's pid namespace.
pub fn landlock_scope() -> Result<(), Errno> {
    /// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`.
    const SCOPES: u64 = 1;
    #[repr(C)]
    struct Ruleset {
        files: u64,
        network: u64,
        scoped: u64,
    }
    let ruleset = Ruleset {
        files: 0,
        network: 0,
        scoped: SCOPES,
    };
    // SAFETY: the ruleset is valid for the call; the descriptor is used and closed at once.
    unsafe {
        let size = size_of::<Ruleset>();
        let fd = check(libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size,
            0,
        ))?;
        let result = check(libc::syscall(libc::SYS_landlock_restrict_self, fd, 0));
        libc::close(fd as i32);
        result.map(drop)
    }
}
