//! The requests of one upload. What the registry has acknowledged decides where the next one begins.

use kiln_store::Digest;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::content::BlobUpload;
use crate::error::{Error, Result};
use crate::transport::{Answer, Payload, Request, Retry, check_address, same_origin};

use super::RemoteRepository;
use super::feed::{Feed, Part};

/// An upload that a registry has begun.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Where it goes on: opaque, and each answer may name another one.
    pub(super) location: Url,
    /// Bytes that the registry has.
    pub(super) acknowledged: u64,
    /// The smallest piece but the last (`OCI-Chunk-Min-Length`).
    pub(super) least: u64,
}

impl RemoteRepository {
    /// The session that an answer begins.
    pub(super) fn session(&self, answer: &Answer) -> Result<Session> {
        let least = answer
            .header_named("oci-chunk-min-length")
            .and_then(|text| text.trim().parse().ok());
        Ok(Session {
            location: self.location(answer)?,
            acknowledged: 0,
            least: least.unwrap_or(0),
        })
    }

    /// The whole blob in the request that ends the upload.
    pub(super) async fn put_whole(
        &self,
        session: &Session,
        upload: &BlobUpload,
        feed: &Feed,
    ) -> Result<()> {
        self.end(session, upload, feed.part(0, upload.descriptor.size))
            .await
    }

    /// What is missing of the blob in pieces of at most `piece` bytes, then the end of the upload.
    pub(super) async fn put_pieces(
        &self,
        session: &mut Session,
        upload: &BlobUpload,
        feed: &Feed,
        piece: u64,
    ) -> Result<()> {
        let size = upload.descriptor.size;
        while session.acknowledged < size {
            let start = session.acknowledged;
            let length = piece.max(session.least).min(size - start);
            let mut request = self.to_session(Method::PATCH, session.location.clone());
            if length < size {
                // No unit, other than in answers.
                let range = format!("{start}-{}", start + length - 1);
                let range = HeaderValue::from_str(&range)
                    .map_err(|_| Error::protocol("an upload", "its range cannot be sent"))?;
                request = request.header(CONTENT_RANGE, range);
            }
            let request = request
                .header(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/octet-stream"),
                )
                .payload(Payload::Blob(std::sync::Arc::new(feed.part(start, length))));
            let answer = self.send(&request).await?;
            // ECR answers 201.
            if !answer.status().is_success() {
                return Err(answer.into_error().await);
            }
            session.location = self.location(&answer)?;
            let end = start + length;
            session.acknowledged = match received(&answer) {
                // Fewer than were sent: the rest again. One that has not moved at all (ECR) means nothing.
                Some(known) if known > start && known < end => known,
                _ => end,
            };
            answer.finish().await;
        }
        self.end(session, upload, feed.part(size, 0)).await
    }

    /// Ends an upload with its last bytes and checks what was stored.
    async fn end(&self, session: &Session, upload: &BlobUpload, last: Part) -> Result<()> {
        let mut request = self
            .to_session(Method::PUT, session.location.clone())
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            )
            .payload(Payload::Blob(std::sync::Arc::new(last)));
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

    /// Asks how much of an upload has arrived; false if it is lost.
    pub(super) async fn ask(&self, session: &mut Session, size: u64) -> bool {
        let request =
            Request::new(Method::GET, session.location.clone(), self.meter.clone()).once();
        let Ok(answer) = self.send(&request).await else {
            return false;
        };
        if !answer.status().is_success() {
            answer.finish().await;
            return false;
        }
        let known =
            received(&answer).filter(|known| *known >= session.acknowledged && *known <= size);
        if answer.header(&LOCATION).is_some()
            && let Ok(location) = self.location(&answer)
        {
            session.location = location;
        }
        answer.finish().await;
        session.acknowledged = known.unwrap_or(session.acknowledged);
        known.is_some()
    }

    fn to_session(&self, method: Method, url: Url) -> Request {
        Request::new(method, url, self.meter.clone())
            .bulk()
            .placed()
            .slow()
            .retry(Retry::Refused)
    }

    /// Tells the registry that an upload will not happen. It finds out by itself too, so failures do not matter.
    pub(super) async fn cancel(&self, session: Session) {
        let request = Request::new(Method::DELETE, session.location, self.meter.clone()).once();
        if let Ok(answer) = self.send(&request).await {
            answer.finish().await;
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

/// How many bytes an answer says have arrived: `Range: 0-99` means 100, and `0-0` none, since nobody sends a single byte.
fn received(answer: &Answer) -> Option<u64> {
    let text = answer.header(&RANGE)?;
    let text = text.trim().strip_prefix("bytes=").unwrap_or(text.trim());
    let end: u64 = text.split_once('-')?.1.trim().parse().ok()?;
    Some(if end == 0 { 0 } else { end + 1 })
}

/// Answers of registries and front ends that do not take a blob in this way.
pub(super) fn refuses_way(error: &Error) -> bool {
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
