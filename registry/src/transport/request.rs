//! A request as a value, so that it can be sent again.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::content::{BlobSource, ByteStream};
use crate::error::{Error, Result};

use super::connect::Class;
use super::meter::Meter;
use super::retry::Retry;

/// What is sent after the head.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// Nothing; with `Content-Length: 0` where the method allows a body.
    None,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A blob, read anew each time.
    Blob(Arc<dyn BlobSource>),
}

/// One request, without credentials.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) class: Class,
    pub(crate) retry: Retry,
    /// False for requests that are expected to be slow to answer.
    pub(crate) quick: bool,
    /// False to take a redirect as the answer.
    pub(crate) follow: bool,
    /// True if the caller holds a place for it already.
    pub(crate) placed: bool,
    pub(crate) meter: Arc<Meter>,
}

impl Request {
    /// A request that may be repeated and moves little.
    pub(crate) fn new(method: Method, url: Url, meter: Arc<Meter>) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::None,
            class: Class::Metadata,
            retry: Retry::Always,
            quick: true,
            follow: true,
            placed: false,
            meter,
        }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    #[must_use]
    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    #[must_use]
    pub(crate) fn bulk(mut self) -> Self {
        self.class = Class::Bulk;
        self
    }

    #[must_use]
    pub(crate) fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sends it once, whatever happens.
    #[must_use]
    pub(crate) fn once(mut self) -> Self {
        self.retry = Retry::Never;
        self
    }

    /// Takes a redirect as the answer.
    #[must_use]
    pub(crate) fn stay(mut self) -> Self {
        self.follow = false;
        self
    }

    /// Takes no place among the host's transfers: the caller holds one.
    #[must_use]
    pub(crate) fn placed(mut self) -> Self {
        self.placed = true;
        self
    }

    #[must_use]
    pub(crate) fn slow(mut self) -> Self {
        self.quick = false;
        self
    }
}

/// How far the body of a request has got; the watchdog of a transfer reads it.
#[derive(Debug)]
pub(crate) struct Departure {
    start: Instant,
    last_millis: AtomicU64,
    done: AtomicBool,
    /// Why the content could not be read on.
    failure: Mutex<Option<Error>>,
}

impl Departure {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            last_millis: AtomicU64::new(0),
            done: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    /// When the body last moved, and whether all of it has been handed over.
    pub(crate) fn state(&self) -> (Instant, bool) {
        let last =
            self.start + std::time::Duration::from_millis(self.last_millis.load(Ordering::Relaxed));
        (last, self.done.load(Ordering::Relaxed))
    }

    pub(crate) fn finish(&self) {
        self.touch();
        self.done.store(true, Ordering::Relaxed);
    }

    /// The error of the content itself, if that was what ended the request.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Notes the error and gives one that ends the request.
    fn fail(&self, error: Error) -> Error {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        Error::Interrupted("reading the content to send".to_owned())
    }

    fn touch(&self) {
        self.last_millis.store(
            u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

/// The body of an upload: counts what leaves and checks that it is as long as announced.
pub(crate) struct Departing {
    stream: ByteStream,
    left: u64,
    departure: Arc<Departure>,
    meter: Arc<Meter>,
}

impl Departing {
    pub(crate) fn new(
        stream: ByteStream,
        length: u64,
        departure: Arc<Departure>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            stream,
            left: length,
            departure,
            meter,
        }
    }
}

impl Stream for Departing {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.stream.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(chunk))) => {
                this.departure.touch();
                this.meter.count_sent(chunk.len());
                let Some(left) = this.left.checked_sub(chunk.len() as u64) else {
                    return Poll::Ready(Some(Err(this.departure.fail(wrong_length("more")))));
                };
                this.left = left;
                if left == 0 {
                    this.departure.finish();
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(this.departure.fail(error)))),
            Poll::Ready(None) if this.left > 0 => {
                Poll::Ready(Some(Err(this.departure.fail(wrong_length("fewer")))))
            }
            Poll::Ready(None) => {
                this.departure.finish();
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

fn wrong_length(how: &str) -> Error {
    Error::protocol(
        "the content to send",
        format!("it has {how} bytes than its descriptor says"),
    )
}
