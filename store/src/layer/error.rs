//! What can go wrong with layers and trees.

use std::io;
use std::path::Path;

use crate::tree::path::display;

/// The result of an operation on layers or trees.
pub type Result<T> = std::result::Result<T, LayerError>;

/// Why an operation on a layer or tree failed. Messages name the entry, layer or path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The system refused something inside a tree.
    #[error("cannot {action} `{path}`: {source}")]
    Entry {
        /// What was to be done.
        action: &'static str,
        /// The entry, or the path on the host.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// An archive holds something that no layer may hold.
    #[error("layer refused: entry `{entry}`: {reason}")]
    Refused {
        /// The entry's name.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive passes a limit.
    #[error("layer refused at entry `{entry}`: {what} exceeds the limit of {limit}")]
    Limit {
        /// The entry at which it showed.
        entry: String,
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// An archive or its compression is damaged or cut short.
    #[error("layer is damaged after entry `{entry}`: {reason}")]
    Damaged {
        /// The last entry that was whole, or the start of the archive.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// Content doesn't have the digest it was promised to have.
    #[error("{what} has digest {actual}, expected {expected}")]
    Mismatch {
        /// What was hashed.
        what: &'static str,
        /// What was promised.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A layer that was asked for isn't in the store.
    #[error("layer {0} is not in the store; pull or build its image again")]
    Missing(String),
    /// The compressed content of a pulled layer is gone and can't be made again with the same bytes.
    #[error("the blob of pulled layer {0} is no longer in the store; pull its image again")]
    BlobGone(String),
    /// The tree that a step left can't be written as a layer.
    #[error("cannot make a layer: `{path}`: {reason}")]
    Unfit {
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An owner isn't among the ids that this user may use.
    #[error(
        "`{path}` belongs to {uid}:{gid}, which is outside this user's subordinate ids; add ranges to /etc/subuid and /etc/subgid"
    )]
    UnmappedOwner {
        /// The entry.
        path: String,
        /// The owner it has.
        uid: u32,
        /// The group it has.
        gid: u32,
    },
    /// A path runs through more links than the kernel follows.
    #[error("`{path}`: too many symbolic links")]
    TooManyLinks {
        /// The path that was looked up.
        path: String,
    },
    /// A file was expected.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// The entry.
        path: String,
    },
    /// A directory was expected.
    #[error("`{path}` is not a directory")]
    NotADirectory {
        /// The entry.
        path: String,
    },
    /// A file is larger than the caller takes.
    #[error("`{path}` is larger than {limit} bytes")]
    TooLarge {
        /// The entry.
        path: String,
        /// What the caller takes.
        limit: u64,
    },
    /// A user or group isn't known to the image.
    #[error("no {what} named `{name}` in the image's {file}")]
    UnknownAccount {
        /// `user` or `group`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The file that was read.
        file: &'static str,
    },
    /// A user specification can't be read.
    #[error("`{0}` is no user: expected name, uid, name:group or uid:gid")]
    BadUser(String),
    /// The store itself failed.
    #[error(transparent)]
    Store(Box<crate::Error>),
}

impl From<crate::Error> for LayerError {
    fn from(error: crate::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl LayerError {
    /// The kind of the underlying file error, when it is one.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Entry { source, .. } => Some(source.kind()),
            Self::Store(error) => error.io_kind(),
            _ => None,
        }
    }

    pub(crate) fn entry(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Entry {
            action,
            path: display(path),
            source: source.into(),
        }
    }

    pub(crate) fn io(action: &'static str, path: &[u8], source: io::Error) -> Self {
        Self::entry(action, path, source)
    }

    pub(crate) fn host(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Entry {
            action,
            path: path.display().to_string(),
            source: source.into(),
        }
    }

    pub(crate) fn refused(entry: &[u8], reason: impl Into<String>) -> Self {
        Self::Refused {
            entry: display(entry),
            reason: reason.into(),
        }
    }

    pub(crate) fn unfit(path: &[u8], reason: impl Into<String>) -> Self {
        Self::Unfit {
            path: display(path),
            reason: reason.into(),
        }
    }
}
