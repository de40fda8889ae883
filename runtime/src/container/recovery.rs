//! The truth about a container: what its record says, held against its monitor's lock.
//!
//! A record that says "running" while the lock is free was left by a monitor that died. After a reboot its container is gone
//! with it. In the same boot the container may still run, but nobody reads its output, carries its ports or will learn its exit
//! code: it is ended, and its record says why.

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::containers::Container;
use super::error::Result;
use super::lock::{self, MonitorLock};
use super::state::{ProcessIdentity, State, Status, boot_id};

/// The record of a container that ran when the host went down.
const REBOOTED: &str = "the host was restarted while the container ran";
/// The record of a container whose monitor was killed.
const ABANDONED: &str = "the container's monitor ended unexpectedly; the container was ended too and its exit code is unknown";
/// The same where it can't be told whether the process is still the same.
const UNKNOWN: &str = "the container's monitor ended unexpectedly; its exit code is unknown, and its processes may still run";

impl Container {
    /// The present state. A record that a dead monitor left is put right first.
    pub fn state(&self) -> Result<State> {
        let state = State::read(&self.directory)?;
        if state.status != Status::Running || lock::is_held(&self.lock_path())? {
            return Ok(state);
        }
        let Some(_lock) = MonitorLock::take(&self.lock_path())? else {
            // Somebody else starts it or puts it right at this moment.
            return State::read(&self.directory);
        };
        // Between the two looks the monitor may have ended as it should.
        let mut state = State::read(&self.directory)?;
        if state.status == Status::Running {
            let reason = if state.boot_id == boot_id() {
                end_abandoned(state.init.as_ref())
            } else {
                REBOOTED
            };
            if let Some(cgroup) = state.cgroup.take() {
                cgroup.kill();
                cgroup.remove();
            }
            state.exit(None, reason);
            state.write(&self.directory, true)?;
        }
        Ok(state)
    }

    /// The state after the monitor went away without a word: it has ended, or is about to.
    pub(super) fn state_after_loss(&self) -> Result<State> {
        lock::wait_until_free(&self.lock_path())?;
        self.state()
    }

    /// Whether its first process runs.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.state()?.status == Status::Running)
    }
}

/// Kills the first process of a container without a monitor, if it is certainly that one; gives the reason for the record.
fn end_abandoned(init: Option<&ProcessIdentity>) -> &'static str {
    let Some(init) = init else { return ABANDONED };
    let Some(pid) = Pid::from_raw(init.pid) else {
        return ABANDONED;
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => ABANDONED,
        Err(_) => UNKNOWN,
        Ok(pidfd) => match init.pidfd_inode {
            None => UNKNOWN,
            Some(inode) if fstat(&pidfd).is_ok_and(|status| status.st_ino == inode) => {
                match pidfd_send_signal(&pidfd, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => ABANDONED,
                    Err(_) => UNKNOWN,
                }
            }
            // The number belongs to a later process.
            Some(_) => ABANDONED,
        },
    }
}
