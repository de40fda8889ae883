//! Open-file-description locks, which rustix does not wrap.
#![allow(unsafe_code, reason = "fcntl with a lock structure")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A write lock over the whole file.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Takes the exclusive lock without waiting; false when somebody else has it.
pub(crate) fn try_exclusive(file: &File) -> io::Result<bool> {
    let lock = whole_file();
    // SAFETY: the descriptor is open for the duration of the call and `lock` is a valid `struct flock`.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        error => Err(error),
    }
}

/// Waits until nobody has the file locked, and takes the lock.
pub(crate) fn exclusive(file: &File) -> io::Result<()> {
    let lock = whole_file();
    loop {
        // SAFETY: the descriptor is open for the duration of the call and `lock` is a valid `struct flock`.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw const lock) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether another open file description has the file locked.
pub(crate) fn is_locked(file: &File) -> io::Result<bool> {
    let mut lock = whole_file();
    // SAFETY: the descriptor is open for the duration of the call and `lock` is a valid `struct flock` that the kernel may write to.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } == 0 {
        Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
    } else {
        Err(io::Error::last_os_error())
    }
}
