//! What can go wrong with containers, in docker's words where scripts match them.

use std::io;

use super::id::ContainerId;

/// The result of a container operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a container operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing has this name or id.
    #[error("No such container: {0}")]
    NotFound(String),
    /// Several ids begin with these digits.
    #[error("multiple containers found with the prefix {prefix}: {}; give more digits", candidates.join(", "))]
    Ambiguous {
        /// The digits that were given.
        prefix: String,
        /// Short ids of the containers found.
        candidates: Vec<String>,
    },
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The name that was asked for.
        name: String,
        /// The container that has it.
        owner: ContainerId,
    },
    /// The operation needs a container that is not running.
    #[error(
        "cannot remove container \"/{0}\": container is running: stop the container before removing or force remove"
    )]
    CannotRemoveRunning(String),
    /// A second monitor was refused: the container runs already.
    #[error("container {0} is already running")]
    AlreadyRunning(String),
    /// The operation needs a running container.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// A host port could not be bound.
    #[error("bind for {address} failed: {reason}")]
    Port {
        /// Address and port on the host.
        address: String,
        /// Why, with the owner when it is known.
        reason: String,
    },
    /// The command of the container or of an exec could not be started.
    #[error("{message}")]
    Command {
        /// What the kernel said and about which command.
        message: String,
        /// 127 when the command does not exist, 126 when it can't be executed.
        exit_code: i32,
    },
    /// No such volume.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// The volume is used by containers.
    #[error("remove {name}: volume is in use - [{}]", users.join(", "))]
    VolumeInUse {
        /// The volume's name.
        name: String,
        /// Ids of the containers that use it.
        users: Vec<String>,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The container could not be started, or its monitor said so.
    #[error("{0}")]
    Failed(String),
    /// The monitor went away in the middle of a request.
    #[error("the monitor of container {0} ended unexpectedly")]
    MonitorLost(String),
    /// A system call failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was being done, naming the object.
        operation: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file of ours can't be read.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] kiln_store::Error),
    /// A network could not be used.
    #[error(transparent)]
    Network(#[from] crate::network::Error),
    /// The image's files could not be read.
    #[error(transparent)]
    Layers(#[from] kiln_store::LayerError),
}

impl Error {
    /// The exit code that `run`, `create`, `start` and `exec` give for this error, as docker does.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Command { exit_code, .. } => *exit_code,
            _ => 125,
        }
    }
}

/// Adds to a system error what was being done.
pub(crate) trait Context<T> {
    /// Names the operation and its object.
    fn context(self, operation: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            operation: operation(),
            source: source.into(),
        })
    }
}
