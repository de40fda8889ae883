//! Files from elsewhere: downloads and repositories, each asked for once a build and kept in the store.
//!
//! ```text
//! <store>/sources/http/...   see [`http`]
//! <store>/sources/git/...    see [`git`]
//! ```
//!
//! Nothing here is truth: whatever is missing is fetched again. [`sweep`] removes what was not used for long.

pub(crate) mod address;
pub(crate) mod git;
mod http;
mod once;
mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use kiln_store::{SourceFolder, Store, TemporaryDirectory};
use serde::Serialize;

use crate::cancel::Cancel;
use crate::error::BuildError;
use crate::host::RemoteAccess;
use crate::request::Secret;
use git::{Commit, GitSource};
pub(crate) use http::{HttpFile, HttpSource};
use once::Once;
pub(crate) use sweep::sweep;

/// Something that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum RemoteSource {
    /// A file on a web server.
    Http(HttpSource),
    /// A repository.
    Git(GitSource),
}

/// What a fetched source is: enough for its key, and the way to its files.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// A file that is there.
    Http(HttpFile),
    /// A commit whose files may still have to be fetched.
    Git(Commit),
}

/// Why something could not be fetched.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SourceError {
    /// The build was ended.
    #[error("the build was cancelled")]
    Cancelled,
    /// Anything else.
    #[error("{message}")]
    Failed {
        /// What and why.
        message: String,
        /// What probably helps.
        hint: Option<String>,
    },
}

impl SourceError {
    fn plain(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: None,
        }
    }

    fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::plain(format!("{what}: {error}"))
    }
}

/// Fetches what one build names.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    store: &'a Store,
    remote: &'a RemoteAccess,
    secrets: &'a BTreeMap<String, Secret>,
    ssh: &'a BTreeMap<String, PathBuf>,
    cancel: &'a Cancel,
    found: Once<String, Result<Found, SourceError>>,
    checkouts: Once<String, Result<PathBuf, SourceError>>,
    /// What this build uses and no collection may take.
    held: Mutex<Vec<SourceFolder>>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(
        store: &'a Store,
        remote: &'a RemoteAccess,
        secrets: &'a BTreeMap<String, Secret>,
        ssh: &'a BTreeMap<String, PathBuf>,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            store,
            remote,
            secrets,
            ssh,
            cancel,
            found: Once::default(),
            checkouts: Once::default(),
            held: Mutex::default(),
        }
    }

    /// The folder of a source, which stays until the build ends.
    fn folder(&self, kind: &str, name: &str) -> Result<PathBuf, SourceError> {
        let folder = self
            .store
            .use_source(kind, name)
            .map_err(|error| SourceError::failed("cannot keep a source", error))?;
        let path = folder.path().to_owned();
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(folder);
        Ok(path)
    }

    /// Finds what a source is now: downloads a file unless it is known to be current, asks a repository for its commit.
    pub(crate) fn find(&self, source: &RemoteSource) -> Result<Found, SourceError> {
        self.found.get(&name(source), || match source {
            RemoteSource::Http(source) => self.http(source).map(Found::Http),
            RemoteSource::Git(source) => self.commit(source).map(Found::Git),
        })
    }

    /// Finds several at the same time; whoever asks for one of them later gets its answer.
    pub(crate) fn find_all(&self, sources: &[&RemoteSource]) {
        match sources {
            [] => {}
            [one] => drop(self.find(one)),
            _ => std::thread::scope(|scope| {
                for source in sources {
                    scope.spawn(|| drop(self.find(source)));
                }
            }),
        }
    }

    /// The directory of the files of a repository at a commit.
    pub(crate) fn files(
        &self,
        source: &GitSource,
        commit: &Commit,
    ) -> Result<PathBuf, SourceError> {
        let name = format!("{} {source:?}", commit.hash);
        self.checkouts.get(&name, || self.checkout(source, commit))
    }

    fn temporary(&self, prefix: &str) -> Result<TemporaryDirectory, SourceError> {
        self.store
            .temporary_directory(prefix)
            .map_err(|error| SourceError::failed("cannot fetch a source", error))
    }

    /// The text of a secret, without the line feed that files end with.
    fn secret(&self, id: &str) -> Result<Option<String>, SourceError> {
        let bytes = match self.secrets.get(id) {
            None => return Ok(None),
            Some(Secret::Value(value)) => value.clone(),
            Some(Secret::File(path)) => std::fs::read(path)
                .map_err(|error| SourceError::failed(format!("cannot read secret {id}"), error))?,
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| SourceError::plain(format!("secret {id} is not text")))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl From<SourceError> for BuildError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Cancelled => Self::Cancelled,
            SourceError::Failed { message, hint } => {
                Self::host("cannot fetch a source", with_hint(message, hint))
            }
        }
    }
}

/// A message with its hint in one line, for errors that have no place for one.
fn with_hint(message: String, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{message} ({hint})"),
        None => message,
    }
}

/// What two equal sources have in common.
fn name(source: &RemoteSource) -> String {
    format!("{source:?}")
}
