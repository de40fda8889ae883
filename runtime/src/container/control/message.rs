//! The words of the control socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::super::networking::NetworkRequest;
use crate::WindowSize;
use crate::cgroup::CgroupRecord;

/// Which of a container's streams a client wants. Each wanted output is one descriptor: the writing end of a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachRequest {
    /// Wants to write to the container: the reply brings the descriptor for it (a terminal's also serves for its size).
    pub stdin: bool,
    /// Brings a pipe for standard output, or for the terminal.
    pub stdout: bool,
    /// Brings a pipe for standard error.
    pub stderr: bool,
}

/// The first message to a monitor, given at its birth. Descriptors: the connection to the command that started it, the pipes of
/// `attach`, those of the network, the process of another container whose namespace is joined, the detached mounts in the order of the container's mounts and devices, those of the cgroup.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StartRequest {
    /// The container.
    pub id: String,
    /// Directories of its layers, lowest first, relative to the store's root.
    pub lowers: Vec<PathBuf>,
    /// `/etc/hosts`.
    pub hosts: Option<String>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: Option<String>,
    /// This boot; the monitor has no /proc to read it from.
    pub boot_id: String,
    /// Whether overlay's attributes are under `user.` in this store.
    pub user_xattrs: bool,
    /// Streams that the command is attached to from the beginning.
    pub attach: AttachRequest,
    /// Size of the terminal.
    pub size: (u16, u16),
    /// The cgroup that was made for it.
    pub cgroup: Option<CgroupRecord>,
    /// The network that was set up for it.
    pub network: NetworkRequest,
    /// Whether it joins the process namespace of another container.
    #[serde(default)]
    pub joins_processes: bool,
}

/// A process to execute in a running container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment, but for `HOME`, which depends on the user.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// `name|uid[:group|gid]`; empty is root.
    pub user: String,
    /// All capabilities and no filter.
    pub privileged: bool,
}

/// An exec. Descriptors: standard input, output and error, or with a terminal one socket that its master is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecRequest {
    /// What to execute.
    pub process: ProcessRequest,
    /// Rows and columns, when it gets a terminal.
    pub terminal: Option<(u16, u16)>,
}

/// What a client asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Send a signal to the first process.
    Signal(i32),
    /// End it: its stop signal, then SIGKILL after the time. Answered when it has ended.
    Stop {
        /// Instead of the container's own stop signal.
        signal: Option<i32>,
        /// Milliseconds; `None` waits for ever.
        timeout: Option<u64>,
    },
    /// Tell when it has ended.
    Wait,
    /// Write down that its processes were frozen, or that they go on.
    Paused(bool),
    /// Open its root. Brings the socket that the root is sent to; it stays mounted as long as that is open. Answered now, and at
    /// its end.
    Root,
    /// Give its streams. Answered now, and again at its end.
    Attach(AttachRequest),
    /// Execute a process. Answered when it runs, and again at its end.
    Exec(ExecRequest),
    /// It was connected to this network: keep the endpoint, whose lock comes along.
    Connect(String),
    /// It was disconnected from this network.
    Disconnect(String),
}

/// What the monitor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// It was done.
    Done,
    /// The container runs, the streams are attached or the exec has begun. May bring a descriptor to write to.
    Started,
    /// The container or the exec ended with this code.
    Exited(i32),
    /// It could not be done.
    Failed(WireError),
}

/// The errors that keep their kind over the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WireError {
    /// The program could not be executed.
    Command { message: String, exit_code: i32 },
    /// A host port could not be bound.
    Port { address: String, reason: String },
    /// Another monitor has the container.
    AlreadyRunning(String),
    /// It has just ended.
    NotRunning(String),
    /// All else.
    Other(String),
}

impl From<&Error> for WireError {
    fn from(error: &Error) -> Self {
        match error {
            Error::Command { message, exit_code } => Self::Command {
                message: message.clone(),
                exit_code: *exit_code,
            },
            Error::Port { address, reason } => Self::Port {
                address: address.clone(),
                reason: reason.clone(),
            },
            Error::AlreadyRunning(name) => Self::AlreadyRunning(name.clone()),
            Error::NotRunning(name) => Self::NotRunning(name.clone()),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Command { message, exit_code } => Self::Command { message, exit_code },
            WireError::Port { address, reason } => Self::Port { address, reason },
            WireError::AlreadyRunning(name) => Self::AlreadyRunning(name),
            WireError::NotRunning(name) => Self::NotRunning(name),
            WireError::Other(message) => Self::Failed(message),
        }
    }
}

/// A window size from rows and columns.
pub(crate) fn window_size((rows, columns): (u16, u16)) -> WindowSize {
    WindowSize { rows, columns }
}
