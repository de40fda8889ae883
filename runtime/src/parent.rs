//! Starts children by plan: what the zygote and the monitors share.
//!
//! A parent is single-threaded and lives in the pruned mount namespace, where the store is `/store`.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::{Exit, Join, LaunchError, Spec, Stdio};

/// Starts processes by plan and is their parent.
#[derive(Debug)]
pub struct Parent {}

impl Parent {
    /// Directory of the store in the mount namespace of the zygote and of monitors.
    pub const STORE: &str = "/store";

    /// Starts a container's first process. Its end is waited for with [`Started::reap`].
    pub fn spawn(&mut self, _spec: &Spec, _stdio: Stdio) -> Result<Started, LaunchError> {
        Err(LaunchError::Gone("not built yet".to_owned()))
    }

    /// Starts a further process in the container whose first process is `init` (a pidfd).
    pub fn join(
        &mut self,
        _init: BorrowedFd<'_>,
        _join: &Join,
        _stdio: Stdio,
    ) -> Result<Started, LaunchError> {
        Err(LaunchError::Gone("not built yet".to_owned()))
    }
}

/// A child that was cloned and is on its way to its program.
#[derive(Debug)]
pub struct Started {
    /// The process id as this process sees it.
    pub pid: u32,
    /// A descriptor of the process; readable once it has ended.
    pub pidfd: OwnedFd,
    /// Carries the report of a failed launch; end of file without one means that the program was executed.
    report: OwnedFd,
}

impl Started {
    /// Waits until the program was executed, or says why it could not be.
    pub fn executed(&mut self) -> Result<(), LaunchError> {
        let _ = &self.report;
        Ok(())
    }

    /// Waits for the end of the process and takes its status.
    pub fn reap(&self) -> Result<Exit, LaunchError> {
        Err(LaunchError::Gone("not built yet".to_owned()))
    }
}
