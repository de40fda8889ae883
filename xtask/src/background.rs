//! Processes that run beside this one.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt;
use crate::process::describe;

/// How long a process in the background gets between being asked to end and being killed.
const END_GRACE: Duration = Duration::from_secs(5);

/// A process that runs beside this one until the value is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    handle: Arc<OwnedFd>,
}

impl Background {
    /// Starts `command` in a process group of its own.
    pub fn start(command: &mut Command) -> Result<Self> {
        interrupt::check()?;
        let what = describe(command);
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("start `{what}`"))?;
        let handle = interrupt::watch(child.id())?;
        Ok(Self { child, handle })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output, if it was asked for and not taken yet.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .context("wait for a process in the background")
    }

    /// Waits for its end; none when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        if wait_for(&self.handle, limit)? {
            self.try_wait()
        } else {
            Ok(None)
        }
    }

    /// Kills the process itself, and nothing else, at once.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child
            .kill()
            .context("kill a process in the background")?;
        self.child
            .wait()
            .context("wait for a process in the background")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        signal_group(&self.child, Signal::TERM);
        if !matches!(wait_for(&self.handle, END_GRACE), Ok(true)) {
            signal_group(&self.child, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Waits for a process to end; false when the time is up.
pub(crate) fn wait_for(handle: &OwnedFd, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()))?;
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll a process"),
        }
    }
}

/// Signals a child, which leads a group of its own, and what it started.
pub(crate) fn signal_group(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The group is gone when all of it has ended.
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_process_ends_with_its_value() {
        let process = Background::start(Command::new("sleep").arg("600")).unwrap();
        let entry = format!("/proc/{}", process.id());
        assert!(std::path::Path::new(&entry).exists());
        drop(process);
        assert!(!std::path::Path::new(&entry).exists());
    }
}
