//! The process that watches over one container, from before its start until its end.
//!
//! It is forked by the zygote: single-threaded, in the mount namespace where the store is all there is, with the container's
//! directory as its working directory. It is the parent of the container's first process and of every exec, so no exit code can
//! be missed. It holds `monitor.lock`, the log, the published ports and the control socket, and waits in one `poll` for all.
//!
//! Back-pressure: a client that is attached and does not read stops the container's output, as a terminal would. The log never
//! does: what can't be written is counted and lost.

mod again;
mod binds;
mod birth;
mod clients;
mod end;
mod events;
mod exec;
mod health;
mod output;
pub(super) mod spec;

pub(crate) use spec::rlimits;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::config::Config;
use super::control::{Listener, StartRequest};
use super::error::{Context, Result};
use super::lock::MonitorLock;
use super::networking::Held;
use super::proxy::Proxies;
use super::state::State;
use crate::cgroup::{Cgroup, Membership};
use crate::{Parent, Started};
use again::Restarts;
use binds::Binds;
use clients::Clients;
use exec::Execs;
use health::Health;
use output::Output;
use spec::Files;

/// Runs a monitor until its container has ended; the result is the process's exit code.
///
/// `request` is the message of the starting command, `descriptors` what belongs to it.
pub fn run(request: Vec<u8>, descriptors: Vec<OwnedFd>, parent: Parent) -> i32 {
    match birth::begin(&request, descriptors, parent) {
        Some(monitor) => monitor.watch(),
        None => 1,
    }
}

/// A running container and all that belongs to it.
#[derive(Debug)]
struct Monitor {
    parent: Parent,
    config: Config,
    state: State,
    /// The container's directory.
    directory: PathBuf,
    /// What the starting command said.
    request: StartRequest,
    /// Its layers and its own files.
    files: Files,
    binds: Binds,
    /// The host's null device.
    null: OwnedFd,
    cgroup: Option<Cgroup>,
    lock: Option<MonitorLock>,
    listener: Option<Listener>,
    clients: Clients,
    output: Output,
    /// Where to write to the container: a pipe, or its terminal.
    input: Option<OwnedFd>,
    init: Started,
    execs: Execs,
    proxies: Proxies,
    health: Option<Health>,
    restarts: Restarts,
    network: Option<Held>,
    /// A process in the namespace that its processes are in.
    processes: Option<Arc<OwnedFd>>,
    /// When a stop becomes a kill.
    kill_at: Option<Instant>,
    ended: bool,
    /// Keeps the mounts of a container that is removed at its end until this process ends.
    _mounts: Option<OwnedFd>,
}

impl Monitor {
    /// Where further processes of the container are born.
    fn membership(&self) -> Result<Option<Membership>> {
        match &self.cgroup {
            None => Ok(None),
            Some(cgroup) => cgroup
                .membership()
                .map(Some)
                .context(|| "using the container's cgroup".to_owned()),
        }
    }
}
