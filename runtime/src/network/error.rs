//! What can go wrong with networks, in docker's words where scripts match them.

use std::io;

/// The result of a network operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a network operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing has this name or id.
    #[error("network {0} not found")]
    NotFound(String),
    /// The name is taken.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// This machine, or this user, can't have bridges: a caller that may falls back on another kind of network.
    #[error("{0}")]
    Unavailable(String),
    /// A value makes no sense, or the state of things forbids it.
    #[error("{0}")]
    Invalid(String),
    /// A file of the record is not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused.
    #[error("{operation}: {source}")]
    Io {
        /// What was being done, to what.
        operation: String,
        /// Why it failed.
        source: io::Error,
    },
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
