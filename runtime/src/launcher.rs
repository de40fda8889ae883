//! The engine's side: starts the zygote, sends it plans, waits for its children.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::{Exit, LaunchError, Spec, Stdio};

/// Settings of a [`Launcher`].
#[derive(Debug, Clone)]
pub struct LauncherOptions {
    /// The store's root directory: the only part of the host that the zygote keeps.
    pub store_root: PathBuf,
    /// Overlay keeps its own attributes as `user.overlay.*`: always so in a user namespace.
    pub user_xattrs: bool,
}

/// A handle to a running zygote. Cheap to clone, usable from any thread. The zygote and its steps (not its monitors) end
/// with the last handle.
#[derive(Debug, Clone)]
pub struct Launcher {}

impl Launcher {
    /// Starts the zygote.
    pub fn start(_options: &LauncherOptions) -> Result<Self, LaunchError> {
        Err(LaunchError::Gone("not built yet".to_owned()))
    }

    /// Starts a process. Returns when it was cloned; whether its program could be executed shows in [`Child::wait`].
    pub fn spawn(&self, _spec: &Spec, _stdio: Stdio) -> Result<Child, LaunchError> {
        Err(LaunchError::Gone("not built yet".to_owned()))
    }

    /// Forks a monitor that runs [`crate::container::monitor::run`] with `request` and `fds`, in its own session. It
    /// outlives this launcher.
    pub fn spawn_monitor(
        &self,
        _request: &[u8],
        _fds: &[BorrowedFd<'_>],
    ) -> Result<MonitorProcess, LaunchError> {
        Err(LaunchError::Gone("not built yet".to_owned()))
    }
}

/// A step under way. Dropping it kills the step.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: OwnedFd,
}

impl Child {
    /// The process id as this process sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end. Mount points that only the launch created are taken out of the upper directory again.
    pub fn wait(self) -> Result<Exit, LaunchError> {
        Err(LaunchError::Gone("not built yet".to_owned()))
    }

    /// Sends a signal to the process; one that has ended already is fine.
    pub fn kill(&self, _signal: i32) -> Result<(), LaunchError> {
        let _ = &self.pidfd;
        Ok(())
    }
}

/// A monitor that was started.
#[derive(Debug)]
pub struct MonitorProcess {
    /// Its process id.
    pub pid: u32,
    /// A descriptor of it.
    pub pidfd: OwnedFd,
}

/// Runs the zygote if this process is one.
pub(crate) fn become_zygote() {}
