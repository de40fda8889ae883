//! Why files could not be copied.

use kiln_store::LayerError;

use crate::sources::SourceError;

/// Why files could not be copied. Messages are BuildKit's where users know them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CopyError {
    /// A source is not there.
    #[error("failed to calculate checksum of ref {tree}: \"/{}\": not found", path.trim_start_matches('/'))]
    NotFound {
        /// The tree it was looked for in.
        tree: String,
        /// Its path there.
        path: String,
        /// It exists, but the ignore file leaves it out.
        is_ignored: bool,
    },
    /// A pattern is not well formed.
    #[error("failed to resolve source `{pattern}`: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory would be put in place of something else.
    #[error("cannot copy to non-directory: {0}")]
    NotADirectory(String),
    /// A file would be put in place of a directory.
    #[error("cannot replace to directory {0} with file")]
    IsADirectory(String),
    /// A user or group that the image does not know.
    #[error("{0}")]
    Account(String),
    /// Something else that names itself.
    #[error("{0}")]
    Other(String),
    /// A source from elsewhere could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A tree could not be read or written.
    #[error(transparent)]
    Tree(#[from] LayerError),
}

impl CopyError {
    /// What probably helps.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound {
                path,
                is_ignored: true,
                ..
            } => Some(format!(
                "{path} exists in the context, but its .dockerignore file leaves it out"
            )),
            Self::Source(SourceError::Failed { hint, .. }) => hint.clone(),
            _ => None,
        }
    }
}
