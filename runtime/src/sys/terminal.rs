//! Controlling terminals.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::check;

/// Makes `terminal` the controlling terminal of this session leader.
pub fn take_control(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the argument is a plain integer.
    check(unsafe { libc::syscall(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCSCTTY, 0) })
        .map(drop)
}
