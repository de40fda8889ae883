//! What can go wrong in the store, each message naming the object and, where there is one, the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Digest, DigestError, PlatformError, ReferenceError};

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}{}", io_hint(.source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store was made by another version of kiln.
    #[error(
        "the store at {root} has format {found}, this kiln reads format {supported}: use the kiln that made it, or choose another root"
    )]
    Format {
        /// Where the store is.
        root: PathBuf,
        /// The version that it names.
        found: String,
        /// The version that this program understands.
        supported: u32,
    },
    /// The files of this store belong to whom they belong in their images, which this user can't do.
    #[error(
        "the store at {root} was made with subordinate ids, which can't be used now: `kiln doctor` says what is missing; or choose another root with --root"
    )]
    OwnersNotRecorded {
        /// Where the store is.
        root: PathBuf,
    },
    /// The files of this store belong to one user, and their owners are only written down.
    #[error(
        "the store at {root} belongs to a user without subordinate ids and records owners: use it as that user, or choose another root with --root"
    )]
    OwnersRecorded {
        /// Where the store is.
        root: PathBuf,
    },
    /// A directory with other things in it was named as the store.
    #[error("{root} is not a kiln store and not empty: choose another root")]
    NotAStore {
        /// The directory.
        root: PathBuf,
    },
    /// No such content here.
    #[error("the store has no content {digest}: pull or build the image again")]
    BlobNotFound {
        /// The content asked for.
        digest: Digest,
    },
    /// Stored content is not what its name says; it has been set aside.
    #[error(
        "stored content {digest} is damaged (it now hashes to {found}) and was removed from the store: pull or build the image again"
    )]
    BlobCorrupt {
        /// The content asked for.
        digest: Digest,
        /// What its bytes hash to.
        found: String,
    },
    /// Incoming content is not what was announced.
    #[error("content does not match its digest: expected {expected}, got {found}")]
    DigestMismatch {
        /// The digest announced.
        expected: Digest,
        /// The digest of what came.
        found: String,
    },
    /// Content that must be read whole is larger than the caller allows.
    #[error("content {digest} has {size} bytes, more than the {limit} allowed here")]
    BlobTooLarge {
        /// The content asked for.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit of the caller.
        limit: u64,
    },
    /// A document that should be a manifest, an index or a configuration is not.
    #[error("{what} {digest} cannot be used: {reason}")]
    Document {
        /// What it was taken for.
        what: &'static str,
        /// Which one.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// An index without a fitting image.
    #[error("image {digest} has nothing for {wanted}: it offers {available}")]
    NoPlatform {
        /// The index.
        digest: Digest,
        /// The platform asked for.
        wanted: String,
        /// What it has.
        available: String,
    },
    /// The index is here, the image for this platform is not.
    #[error("image {digest} for {wanted} is not in the store: pull it with --platform {wanted}")]
    PlatformNotStored {
        /// The index.
        digest: Digest,
        /// The platform asked for.
        wanted: String,
    },
    /// A short identifier fits several images.
    #[error("{prefix} fits {count} images: give more digits")]
    AmbiguousId {
        /// What was given.
        prefix: String,
        /// How many images it fits.
        count: usize,
    },
    /// A record, pin or lock has an impossible name.
    #[error("invalid name \"{name}\": {rule}")]
    Name {
        /// The name.
        name: String,
        /// What it must be.
        rule: &'static str,
    },
    /// SQLite does not even work in memory.
    #[error("cannot measure the store at {path}: {source}")]
    Index {
        /// The database file it stands in for.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A value could not be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Json {
        /// What was to be written.
        what: &'static str,
        /// What the encoder said.
        source: serde_json::Error,
    },
    /// A text is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A text is not an image reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A text is not a platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl Error {
    /// Makes an adapter for `map_err` that names the action and the path.
    pub fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source: source.into(),
        }
    }

    /// The kind of the underlying file error, when it is one.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// What to do about the file errors that people meet.
fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            ": free space there (`kiln prune`), then run the command again"
        }
        io::ErrorKind::QuotaExceeded => {
            ": free some of the quota (`kiln prune`), then run the command again"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            ": the store is on a read-only file system, choose another root"
        }
        io::ErrorKind::PermissionDenied => {
            ": the store belongs to another user or is read-only, choose another root"
        }
        _ => "",
    }
}
