//! The process in front of a container's program (`--init`): it passes signals on and reaps what nobody else waits for.
//!
//! It is this child itself, which goes on as the first process while a fork of it executes the program. So it needs no binary
//! of its own, and has the user, the capabilities and the filter of the program.

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::{Context, Done};
use crate::sys::{process, signal};

/// Returns in the fork, which executes the program.
pub(super) fn put_in_front<'a>() -> Done<'a> {
    // From here on no signal is lost: the kernel drops those that a first process has no handler for.
    signal::block_all();
    let program = process::fork_single_threaded().doing("fork the program")?;
    match program {
        Some(program) => watch(program),
        None => {
            own_terminal_group();
            signal::unblock_all();
            Ok(())
        }
    }
}

/// Keys of the terminal are for the program, not for the process in front of it.
fn own_terminal_group() {
    let stdin = rustix::stdio::stdin();
    let own = rustix::process::getpid();
    if rustix::process::setpgid(None, None).is_ok() && rustix::termios::isatty(stdin) {
        // SIGTTOU is blocked still. A terminal that is not ours is nobody's loss.
        let _ = rustix::termios::tcsetpgrp(stdin, own);
    }
}

/// Ends as the program does.
fn watch(program: Pid) -> ! {
    let _ = rustix::thread::set_name(c"kiln-init");
    // Among them the pipe whose end tells the parent that the program runs.
    let _ = process::close_from(3);
    loop {
        match signal::wait() {
            Ok(taken) if taken.number == libc::SIGCHLD => reap_all(program),
            Ok(taken) => {
                // One that has just ended is about to be reaped.
                let _ = signal::send(program, taken.number);
            }
            Err(_) => reap_all(program),
        }
    }
}

/// Takes the status of every child that has ended; signals of the same number are told only once.
fn reap_all(program: Pid) {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == program => process::exit(code(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

/// The exit code that a shell would show.
fn code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    }
}
