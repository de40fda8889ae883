//! The outer process, once the program runs inside: passes signals on and ends as the inner process does.

use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use crate::sys::{process, signal};

/// Watches over the inner process and never returns.
pub(super) fn watch(child: Pid) -> ! {
    signal::block_all();
    loop {
        // Before the first signal too: the child may have ended while ids were being mapped.
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
        if let Ok(Some((_, status))) = waitpid(Some(child), options) {
            follow(status);
            continue;
        }
        match signal::wait() {
            // The loop's beginning looks at the child.
            Ok(taken) if taken.number == libc::SIGCHLD => {}
            // The terminal has sent these to the whole foreground group, the inner process included.
            Ok(taken) if taken.from_kernel && is_from_keyboard(taken.number) => {}
            Ok(taken) => {
                // It may have ended at any time.
                let _ = signal::send(child, taken.number);
            }
            Err(_) => {}
        }
    }
}

fn is_from_keyboard(number: i32) -> bool {
    matches!(
        number,
        libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU | libc::SIGHUP
    )
}

/// Does what the inner process has done: ends the same way, or stops until it is continued.
fn follow(status: WaitStatus) {
    if let Some(code) = status.exit_status() {
        process::exit(code);
    }
    if let Some(number) = status.terminating_signal() {
        signal::die_of(number);
        process::exit(128 + number);
    }
    if status.stopped() {
        let _ = signal::send(rustix::process::getpid(), libc::SIGSTOP);
    }
}
