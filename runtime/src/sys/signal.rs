//! Signal dispositions and masks.

use rustix::io::Errno;
use rustix::process::Pid;

use super::check;

/// Highest signal number of Linux on our architectures.
const LAST: i32 = 64;

/// Size of the kernel's signal set in bytes.
const SET_SIZE: usize = 8;

/// Resets every signal to its default and unblocks all: a child inherits both otherwise.
pub fn reset() {
    // Handler, flags, restorer and mask: all zero is the default disposition. By the raw call, because libc keeps two
    // signals to itself.
    let default = [0_u64; 4];
    // SAFETY: no handler of ours is needed afterwards. Numbers that can't be changed are refused by the kernel.
    unsafe {
        for signal in 1..=LAST {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                0,
                SET_SIZE,
            );
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Makes writing to a pipe without a reader an error instead of a death, or a death again. Children inherit it.
pub fn ignore_broken_pipes(ignore: bool) {
    let disposition = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: only the disposition of SIGPIPE changes, to one that runs no code of ours.
    unsafe {
        libc::signal(libc::SIGPIPE, disposition);
    }
}

/// Blocks every signal, so that they can be taken with [`wait`].
pub fn block_all() {
    // SAFETY: only the mask of this thread changes.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

/// Lets every signal through again.
pub fn unblock_all() {
    // SAFETY: only the mask of this thread changes.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// A signal that was taken.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Its number.
    pub number: i32,
    /// Whether the kernel sent it by itself, as a terminal does to a whole process group.
    pub from_kernel: bool,
}

/// Waits for the next blocked signal.
pub fn wait() -> Result<Taken, Errno> {
    // SAFETY: all-zero is valid for both, and both outlive the call.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut information: libc::siginfo_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        let number = libc::sigwaitinfo(&raw const all, &raw mut information);
        if number < 0 {
            return Err(super::last_error());
        }
        Ok(Taken {
            number,
            from_kernel: information.si_code == libc::SI_KERNEL,
        })
    }
}

/// Sends a signal to a process by id: to ourselves or a child of ours, whose id can't have been given to another.
pub fn send(pid: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_kill, pid.as_raw_nonzero().get(), signal) }).map(drop)
}

/// Ends this process by a signal, without a core dump of its own.
pub fn die_of(signal: i32) {
    let _ = super::process::set_limit(libc::RLIMIT_CORE, 0, 0);
    reset();
    let _ = send(rustix::process::getpid(), signal);
}
