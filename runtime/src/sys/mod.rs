//! The system calls that rustix does not offer, and the few that need `unsafe`. The only place in this crate that does.
//!
//! Everything here works without allocation, so that a child between clone and exec may use it.

pub mod attempt;
pub mod credentials;
pub mod exec;
pub mod filter;
pub mod mount;
pub mod network;
pub mod notify;
pub mod process;
pub mod signal;
pub mod spawn;
pub mod terminal;

use rustix::io::Errno;

/// The result of a raw system call made through libc's `syscall`.
fn check(value: libc::c_long) -> Result<libc::c_long, Errno> {
    if value < 0 {
        Err(last_error())
    } else {
        Ok(value)
    }
}

/// `errno` of the last libc call.
fn last_error() -> Errno {
    // SAFETY: the location is valid for the life of the thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// Makes a system call with arguments that every call with structures or descriptors refuses, to see whether it exists.
/// Only for calls that take a descriptor, pointer or size first.
pub fn probe_call(number: libc::c_long) -> Errno {
    // SAFETY: no pointer is valid and no descriptor is open, so that nothing can happen.
    check(unsafe { libc::syscall(number, -1_i64, 0, 1, 0, 0) })
        .err()
        .unwrap_or(Errno::INVAL)
}
