//! The answer to a request: its head at once, its body in pieces with a limit on every wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::error::{Error, Result, StatusError, chain, parse_error_body};

use super::gate::Held;
use super::meter::Meter;
use super::redact::redact;
use super::throttle::Throttle;

/// The most of an error body that is read.
const ERROR_BODY_LIMIT: u64 = 8 << 10;

/// What must come within the time in which a body may stand still. Slower than any modem, it is a way to hold a client for ever.
const CRAWL: u64 = 4 << 10;

/// An answer whose body has not been read yet. It holds its place among the host's transfers until it is dropped.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) method: Method,
    /// Where it came from, redirects followed.
    pub(crate) url: Url,
    pub(super) response: reqwest::Response,
    pub(super) meter: Arc<Meter>,
    pub(super) stall: Duration,
    pub(super) place: Option<Held>,
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) pace: Pace,
}

/// How fast a body comes, by the time spent waiting for it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Takes a piece in; false if the body only crawls.
    fn moves(&mut self, waited: Duration, bytes: usize, limit: Duration) -> bool {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < limit {
            return true;
        }
        let enough = self.bytes >= CRAWL;
        *self = Self::default();
        enough
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The same, holding this place among the transfers until its end.
    #[must_use]
    pub(crate) fn holding(mut self, place: Held) -> Self {
        self.place = Some(place);
        self
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// A header as text, by a name that `http` has no constant for.
    pub(crate) fn header_named(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The URL for messages.
    pub(crate) fn shown_url(&self) -> String {
        redact(&self.url)
    }

    /// The media type without its parameters.
    pub(crate) fn media_type(&self) -> &str {
        self.header(&CONTENT_TYPE)
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
    }

    /// The next piece of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let start = Instant::now();
        let chunk = match tokio::time::timeout(self.stall, self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => {
                return Err(Error::Network {
                    method: self.method.clone(),
                    url: self.shown_url(),
                    reason: chain(&error.without_url()),
                    before_send: false,
                });
            }
            Err(_) => return Err(self.stands_still()),
        };
        match &chunk {
            Some(chunk) => {
                if !self.pace.moves(start.elapsed(), chunk.len(), self.stall) {
                    return Err(self.stands_still());
                }
                self.meter.count_received(chunk.len());
                if let Some(throttle) = &self.throttle {
                    throttle.pass(chunk.len()).await;
                }
            }
            None => {
                if let Some(place) = &self.place {
                    place.went_well();
                }
            }
        }
        Ok(chunk)
    }

    fn stands_still(&self) -> Error {
        Error::Timeout {
            method: self.method.clone(),
            url: self.shown_url(),
            what: "the transfer stood still",
            after: self.stall,
        }
    }

    /// The whole body, if it is not longer than `limit`.
    pub(crate) async fn bytes(mut self, limit: u64) -> Result<Bytes> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(Error::protocol(
                    self.shown_url(),
                    format!("the answer is longer than {limit} bytes"),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The error that this answer is, with what its body says.
    pub(crate) async fn into_error(mut self) -> Error {
        Error::Status(Box::new(self.read_error().await))
    }

    /// Reads the body of an error answer.
    pub(crate) async fn read_error(&mut self) -> StatusError {
        let mut body = Vec::new();
        // A body that breaks off is no reason to lose the status.
        while let Ok(Some(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > ERROR_BODY_LIMIT {
                body.truncate(ERROR_BODY_LIMIT as usize);
                break;
            }
        }
        let (errors, text) = parse_error_body(self.media_type(), &body);
        StatusError {
            method: self.method.clone(),
            url: self.shown_url(),
            status: self.status(),
            errors,
            body: text,
        }
    }

    /// Reads what is left of a body nobody wants, so that the connection can be used again, and gives back the place among the transfers.
    pub(crate) async fn finish(mut self) {
        let mut seen = 0;
        while let Ok(Some(chunk)) = self.chunk().await {
            seen += chunk.len() as u64;
            if seen > ERROR_BODY_LIMIT {
                break;
            }
        }
        drop(self.place.take());
    }
}
