//! Putting a blob with as few requests and as little waiting as the registry allows.
//!
//! ```text
//! POST uploads/?mount=<digest>&from=<repository>   201: it is there
//!                                                  202: an upload has begun
//! PUT <location>?digest=                           the whole blob, its length known
//!   refused with 404, 405, 411, 413, 416 -> PATCH <location> (the whole blob, streamed), PUT ?digest=
//! ```
//!
//! A mount from the repository itself is an existence check that begins the upload at once: one request for a blob that is there, two for a new one.
//! Registries that ignore mounts would get everything again, so until one was seen to work a large blob is asked for by HEAD first. A small blob (the
//! configuration goes first) settles that: once sent, it is mounted onto itself.

use kiln_store::Digest;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::content::{BlobUpload, Placed};
use crate::error::{Error, Result};
use crate::host::{Learning, Mounts, UploadWay};
use crate::transport::{Answer, Payload, Request, Retry, check_address, same_origin};

use super::RemoteRepository;

/// Blobs up to this size are sent without asking twice: a question costs as much as they do.
const SMALL: u64 = 64 << 10;

/// What became of the request for an upload.
enum Begun {
    Mounted,
    Session(Url),
}

impl RemoteRepository {
    pub(super) async fn put_blob_inner(&self, upload: &BlobUpload) -> Result<Placed> {
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
                self.host.saw_mounts(Mounts::Work);
                return Ok(if origin.is_some() {
                    Placed::Mounted
                } else {
                    Placed::Present
                });
            }
            session => session,
        };
        if learning.is_none() && !small && self.may_be_there(origin.is_some(), upload).await? {
            self.cancel(session).await;
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
            self.host.saw_mounts(Mounts::Ignored);
        }
        Ok(there)
    }

    /// Finds out what a mount of a blob does that is certainly there.
    async fn settle(&self, learning: Learning<'_>, digest: &Digest) {
        match self.begin(digest, Some(&self.path)).await {
            Ok(Begun::Mounted) => self.host.saw_mounts(Mounts::Work),
            Ok(session) => {
                self.host.saw_mounts(Mounts::Ignored);
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
                let location = self.location(&answer)?;
                answer.finish().await;
                Ok(Begun::Session(location))
            }
            status if status.is_client_error() && from.is_some() => {
                answer.finish().await;
                Box::pin(self.begin(digest, None)).await
            }
            StatusCode::NOT_FOUND => Err(Error::NotFound(format!(
                "repository {}/{} (some registries want it created first)",
                self.host.name(),
                self.path
            ))),
            _ => Err(answer.into_error().await),
        }
    }

    /// Sends the bytes, as often as the network makes it necessary.
    async fn fill(&self, begun: Begun, upload: &BlobUpload) -> Result<Placed> {
        let Begun::Session(mut session) = begun else {
            return Ok(Placed::Present);
        };
        let transport = self.host.transport();
        let mut way = self.host.upload_way();
        let mut attempt = 1;
        loop {
            let error = match self.send_body(way, session, upload).await {
                Ok(()) => {
                    self.host.saw_upload_way(way);
                    return Ok(Placed::Sent);
                }
                Err(error) => error,
            };
            let refused = refuses_put(&error);
            if attempt >= transport.options().attempts
                || !(error.is_transient() || (refused && way == UploadWay::Put))
            {
                return Err(error);
            }
            if refused
                || (attempt >= 2 && way == UploadWay::Put && matches!(error, Error::Network { .. }))
            {
                // Refused, or cut off twice: a front end with a limit on whole bodies does that.
                way = UploadWay::Patch;
            } else {
                tokio::time::sleep(transport.backoff().wait(attempt)).await;
            }
            attempt += 1;
            session = match self.begin(&upload.descriptor.digest, None).await? {
                Begun::Session(session) => session,
                Begun::Mounted => return Ok(Placed::Present),
            };
        }
    }

    async fn send_body(&self, way: UploadWay, session: Url, upload: &BlobUpload) -> Result<()> {
        let payload = Payload::Blob(upload.source.clone());
        let octets = HeaderValue::from_static("application/octet-stream");
        let (location, payload) = match way {
            UploadWay::Put => (session, payload),
            UploadWay::Patch => {
                let request = self
                    .to_session(Method::PATCH, session)
                    .header(CONTENT_TYPE, octets.clone())
                    .payload(payload);
                let answer = self.send(&request).await?;
                // ECR answers 201.
                if !answer.status().is_success() {
                    return Err(answer.into_error().await);
                }
                let location = self.location(&answer)?;
                answer.finish().await;
                (location, Payload::None)
            }
        };
        let mut request = self
            .to_session(Method::PUT, location)
            .header(CONTENT_TYPE, octets)
            .payload(payload);
        request
            .url
            .query_pairs_mut()
            .append_pair("digest", &upload.descriptor.digest.to_string());
        let answer = self.send(&request).await?;
        if !answer.status().is_success() {
            return Err(answer.into_error().await);
        }
        let stored = answer
            .header_named("docker-content-digest")
            .and_then(|text| text.parse::<Digest>().ok());
        let expected = &upload.descriptor.digest;
        if let Some(stored) =
            stored.filter(|stored| stored.algorithm() == expected.algorithm() && stored != expected)
        {
            return Err(Error::Corrupt {
                what: format!("a blob as stored by {}", self.host.name()),
                expected: expected.to_string(),
                actual: stored.to_string(),
            });
        }
        answer.finish().await;
        Ok(())
    }

    fn to_session(&self, method: Method, url: Url) -> Request {
        Request::new(method, url, self.meter.clone())
            .bulk()
            .slow()
            .retry(Retry::Refused)
    }

    /// Tells the registry that an upload will not happen. It finds out by itself too, so failures do not matter.
    async fn cancel(&self, begun: Begun) {
        if let Begun::Session(session) = begun {
            let request = Request::new(Method::DELETE, session, self.meter.clone()).once();
            if let Ok(answer) = self.send(&request).await {
                answer.finish().await;
            }
        }
    }

    /// The address that an upload goes on at: opaque, absolute or relative, perhaps on another host.
    fn location(&self, answer: &Answer) -> Result<Url> {
        let text = answer.header(&LOCATION).ok_or_else(|| {
            Error::protocol(answer.shown_url(), "it began an upload without a Location")
        })?;
        let mut url = answer.url.join(text).map_err(|_| {
            Error::protocol(
                answer.shown_url(),
                "the Location of its upload is not a URL",
            )
        })?;
        if url.scheme() == "http" && answer.url.scheme() == "https" {
            // A registry behind a proxy that ends TLS and does not tell it: the same host, in plain HTTP, without a port.
            let mut secured = url.clone();
            if secured.set_scheme("https").is_ok() && same_origin(&secured, &answer.url) {
                url = secured;
            }
        }
        check_address(&answer.url, &url, !self.host.verifies())?;
        Ok(url)
    }
}

/// Answers of registries and front ends that do not take whole blobs by PUT.
fn refuses_put(error: &Error) -> bool {
    matches!(
        error.status(),
        Some(
            StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::LENGTH_REQUIRED
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::RANGE_NOT_SATISFIABLE
        )
    )
}
