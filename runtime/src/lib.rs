//! Runs one process in a root file system, and keeps containers.
//!
//! ```text
//! engine --Spec--> plan (pure) --Plan--> zygote --clone3--> step: runs the plan, then the program
//!                                          \--fork--> monitor --clone3--> a container's init
//! ```
//!
//! The zygote is a copy of our own binary, single-threaded, in a mount namespace that holds nothing but the store. All kernel
//! work happens in its children; the engine only sends plans and waits. A program that uses this crate calls [`init`] first
//! thing in `main`, before any thread exists.

#[allow(unsafe_code)]
mod sys;
mod sys_lock;

pub mod apparmor;
mod capabilities;
pub mod cgroup;
mod child;
pub mod container;
mod detached;
pub mod emulators;
mod error;
mod explain;
pub mod inside;
mod launcher;
pub mod network;
mod owners;
mod parent;
mod plan;
pub mod probe;
mod report;
mod seccomp;
mod spare;
mod spec;
mod transport;
pub mod userns;
mod wire;
mod zygote;

pub use error::LaunchError;
pub use launcher::{Child, Fault, Launcher, LauncherOptions, Measured, MonitorProcess, Mounts};
pub use parent::{Parent, Started};
pub use seccomp::{Profile, ProfileError};
pub use spec::{
    AppArmor, Capabilities, Exit, Expected, Ids, Join, Mount, MountSource, Network, Process,
    Processes, Propagation, Resource, Rlimit, Seccomp, Security, Shared, Spec, Stdio, WindowSize,
};

/// Becomes the zygote if this process was started as one; otherwise returns at once.
///
/// Must be the first line of `main`: the zygote has to be single-threaded.
pub fn init() {
    init_with(container::monitor::run);
}

/// The same with another function for monitors, which gets the request, its descriptors and the means to start processes,
/// and returns an exit code.
pub fn init_with(monitor: Monitor) {
    network::become_guard();
    zygote::become_zygote(monitor);
}

/// Starts the process of a [`Launcher`] that this process is likely to start, before it is known what that is for: beginning is half of
/// what a launcher takes. When none is started, it ends with this process.
pub fn start_ahead() {
    launcher::start_ahead();
}

/// What runs in a monitor process.
pub type Monitor = fn(Vec<u8>, Vec<std::os::fd::OwnedFd>, Parent) -> i32;
