//! Putting a blob with as few requests and as little waiting as the registry allows.
//!
//! ```text
//! POST uploads/?mount=<digest>&from=<repository>   201: it is there
//!                                                  202: an upload has begun
//! ladder    the bytes, by the way that the registry takes      session   the requests of one upload
//! feed      content in pieces
//! ```
//!
//! A mount from the repository itself is an existence check that begins the upload at once: one request for a blob that is there, two for a new one.
//! Registries that ignore mounts would get everything again, so until one was seen to work a large blob is asked for by HEAD first. A small blob (the
//! configuration goes first) settles that: once sent, it is mounted onto itself. What was found out is kept for the next run.

mod feed;
mod ladder;
mod session;

use kiln_store::Digest;
use reqwest::{Method, StatusCode};

use crate::content::{BlobUpload, Placed};
use crate::error::{Error, Result};
use crate::host::{Learning, Mounts};

use super::RemoteRepository;
use session::Session;

/// Blobs up to this size are sent without asking twice: a question costs as much as they do.
const SMALL: u64 = 64 << 10;

/// What became of the request for an upload.
enum Begun {
    Mounted,
    Session(Session),
}

impl RemoteRepository {
    pub(super) async fn put_blob_inner(&self, upload: &BlobUpload) -> Result<Placed> {
        self.host.recall().await;
        let small = upload.descriptor.size <= SMALL;
        let learning = if small {
            self.host.learn_mounts()
        } else {
            None
        };
        let origin = upload.origins.iter().find(|origin| **origin != self.path);
        if origin.is_none() && self.host.mounts() == Mounts::Ignored {
            if self.head_blob(&upload.descriptor).await? {
                return Ok(Placed::Present);
            }
            let session = self.begin(&upload.descriptor.digest, None).await?;
            return self.fill(session, upload).await;
        }
        let from = origin.map_or(self.path.as_str(), String::as_str);
        let session = match self.begin(&upload.descriptor.digest, Some(from)).await? {
            Begun::Mounted => {
                self.host.saw_mounts(Mounts::Work).await;
                return Ok(if origin.is_some() {
                    Placed::Mounted
                } else {
                    Placed::Present
                });
            }
            session => session,
        };
        if learning.is_none() && !small && self.may_be_there(origin.is_some(), upload).await? {
            if let Begun::Session(session) = session {
                self.cancel(session).await;
            }
            return Ok(Placed::Present);
        }
        let placed = self.fill(session, upload).await?;
        if let Some(learning) = learning {
            self.settle(learning, &upload.descriptor.digest).await;
        }
        Ok(placed)
    }

    /// After a mount that did not happen: whether the blob is in the repository all the same.
    async fn may_be_there(&self, from_elsewhere: bool, upload: &BlobUpload) -> Result<bool> {
        let mounts = self.host.settled_mounts().await;
        if mounts == Mounts::Work && !from_elsewhere {
            return Ok(false);
        }
        let there = self.head_blob(&upload.descriptor).await?;
        if there && !from_elsewhere {
            self.host.saw_mounts(Mounts::Ignored).await;
        }
        Ok(there)
    }

    /// Finds out what a mount of a blob does that is certainly there.
    async fn settle(&self, learning: Learning<'_>, digest: &Digest) {
        match self.begin(digest, Some(&self.path)).await {
            Ok(Begun::Mounted) => self.host.saw_mounts(Mounts::Work).await,
            Ok(Begun::Session(session)) => {
                self.host.saw_mounts(Mounts::Ignored).await;
                self.cancel(session).await;
            }
            // Nothing learned; the next large blob asks by HEAD.
            Err(_) => {}
        }
        drop(learning);
    }

    /// Asks for an upload, and for a mount instead if `from` is given.
    async fn begin(&self, digest: &Digest, from: Option<&str>) -> Result<Begun> {
        let mut request = self.request(Method::POST, "blobs/uploads/").await?;
        let mut scopes = self.scopes.clone();
        if let Some(from) = from {
            request
                .url
                .query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from);
            if from != self.path {
                scopes = scopes.and_pull(from);
            }
        }
        let foreign = from.is_some_and(|from| from != self.path);
        let answer = match self.host.send(&request, &self.path, &scopes).await {
            // No right to read the origin, or a registry that takes a foreign origin for an error: then without it.
            Err(Error::Unauthorized { .. }) if foreign => {
                return Box::pin(self.begin(digest, None)).await;
            }
            Err(error) => return Err(error),
            Ok(answer) => answer,
        };
        match answer.status() {
            StatusCode::CREATED if from.is_some() => {
                answer.finish().await;
                Ok(Begun::Mounted)
            }
            StatusCode::ACCEPTED => {
                let session = self.session(&answer)?;
                answer.finish().await;
                Ok(Begun::Session(session))
            }
            status if status.is_client_error() && from.is_some() => {
                answer.finish().await;
                let begun = Box::pin(self.begin(digest, None)).await?;
                if !foreign {
                    self.host.saw_mounts(Mounts::Ignored).await;
                }
                Ok(begun)
            }
            StatusCode::NOT_FOUND => Err(Error::NotFound(format!(
                "repository {}/{} (some registries want it created first)",
                self.host.name(),
                self.path
            ))),
            _ => Err(answer.into_error().await),
        }
    }
}
