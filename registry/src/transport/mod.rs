//! The one place that every request goes through.
//!
//! ```text
//! Registry (credentials, 401) -> Transport::exchange (retries, pauses) -> follow (redirects) -> once (one exchange: limits, timeouts, counters)
//! ```
//!
//! A [`Request`] is a value that can be sent again; an [`Answer`] is any final status, errors included. Failures of the network are typed errors
//! that name the method and the URL without its secrets. Concurrency: everything is shared by reference and may be used from any number of tasks.

mod address;
mod answer;
mod connect;
mod gate;
mod hosts;
mod meter;
mod redact;
mod request;
mod retry;
mod send;
mod throttle;
mod trace;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::error::{Error, Result, describe};
use crate::event::Event;
use crate::options::{ClientOptions, HostOptions};

pub(crate) use address::{check as check_address, is_loopback, same_origin};
pub(crate) use answer::Answer;
pub(crate) use connect::Trust;
use connect::{Class, Connections};
pub(crate) use gate::Held;
use hosts::Hosts;
pub(crate) use meter::Meter;
pub use meter::Traffic;
pub(crate) use redact::redact;
pub(crate) use request::{Payload, Request};
pub(crate) use retry::{Backoff, Retry};
use throttle::Throttle;

/// Sends requests.
pub(crate) struct Transport {
    options: Arc<ClientOptions>,
    connections: Connections,
    hosts: Hosts,
    throttle: Option<Arc<Throttle>>,
    numbers: trace::Numbers,
}

impl Transport {
    pub(crate) fn new(options: Arc<ClientOptions>) -> Self {
        Self {
            connections: Connections::new(options.clone()),
            hosts: Hosts::new(options.transfers_per_host),
            throttle: options.limit_rate.map(|rate| Arc::new(Throttle::new(rate))),
            numbers: trace::Numbers::default(),
            options,
        }
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Makes the settings of an endpoint known that differ from those of the options.
    pub(crate) fn know(&self, name: &str, settings: &HostOptions) {
        self.connections.know(name, settings);
    }

    /// A place among the uploads to the host of `url`, for all requests of one blob.
    ///
    /// A blob that is read from another registry holds a place there from its first request to its last. Were the upload to take its own anew for each
    /// request, it could wait for those who wait for that one.
    pub(crate) async fn upload_place(&self, url: &Url) -> Option<Held> {
        self.hosts
            .get(&host_key(url))
            .enter(Class::Bulk, &Method::PUT)
            .await
    }

    /// A place among the downloads from the host of `url` that nobody else wants at the moment.
    pub(crate) fn free_download_place(&self, url: &Url) -> Option<Held> {
        self.hosts.get(&host_key(url)).try_enter_download()
    }

    /// Says in the trace why something is done.
    pub(crate) fn explain(&self, text: impl FnOnce() -> String) {
        if let Some(trace) = &self.options.trace {
            trace(&text());
        }
    }

    /// Waiting times between attempts.
    pub(crate) fn backoff(&self) -> Backoff {
        // Beyond ten seconds patience should come from the server's own words.
        Backoff {
            first: self.options.first_backoff,
            longest: Duration::from_secs(10),
        }
    }

    /// Sends a request until it has an answer that will not change by sending it again. `authorization` stays with the request's own origin.
    pub(crate) async fn exchange(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
        trust: &Trust,
    ) -> Result<Answer> {
        let mut waited = Duration::ZERO;
        let mut attempt = 1;
        loop {
            let outcome = self.follow(request, authorization, trust).await;
            let last = attempt >= self.options.attempts || request.retry == Retry::Never;
            match outcome {
                Ok(mut answer) if retry::is_transient(answer.status()) => {
                    let refused = retry::is_refusal(answer.status());
                    if request.retry == Retry::Never
                        || (request.retry == Retry::Refused && !refused)
                    {
                        return Ok(answer);
                    }
                    let headers = answer.headers().clone();
                    let error = answer.read_error().await;
                    let text = format!("{} {}", describe(&error.errors), error.body);
                    let asked =
                        retry::asked_wait(&headers, &text, SystemTime::now()).filter(|_| refused);
                    let limited = asked.is_some() || error.status == StatusCode::TOO_MANY_REQUESTS;
                    if last && !limited {
                        return Err(Error::Status(Box::new(error)));
                    }
                    let wait = asked.unwrap_or_default().max(self.backoff().wait(attempt));
                    if limited && waited + wait > self.options.longest_wait {
                        return Err(self.too_long(&answer.url, asked, error, &headers));
                    }
                    if limited {
                        waited += wait;
                        self.pause(&answer.url, wait, &request.meter);
                    } else {
                        tokio::time::sleep(wait).await;
                    }
                }
                Ok(answer) => return Ok(answer),
                Err(error)
                    if last
                        || unreachable(&error, attempt)
                        || !may_repeat(&error, request.retry) =>
                {
                    return Err(error);
                }
                Err(_) => {
                    let wait = self.backoff().wait(attempt);
                    self.explain(|| format!("attempt {attempt} failed: trying again in {wait:?}"));
                    tokio::time::sleep(wait).await;
                }
            }
            attempt += 1;
        }
    }

    /// A limit that would keep us longer than allowed. Without a number from the server its own error says more.
    fn too_long(
        &self,
        url: &Url,
        asked: Option<Duration>,
        error: crate::error::StatusError,
        headers: &HeaderMap,
    ) -> Error {
        match asked {
            Some(asked) => Error::RateLimited {
                host: host_key(url),
                asked,
                allowed: self.options.longest_wait,
            },
            None => Error::Status(Box::new(retry::with_limit(error, headers))),
        }
    }

    fn pause(&self, url: &Url, wait: Duration, meter: &Meter) {
        let host = host_key(url);
        let first = self.hosts.get(&host).pause(wait);
        meter.count_wait(wait);
        self.explain(|| format!("{host} limits requests: waiting {wait:?}"));
        if let Some(notice) = &self.options.notice {
            notice(Event::Waiting {
                host: host.clone(),
                wait,
            });
            if first {
                tokio::spawn(count_down(host, wait, notice.clone()));
            }
        }
    }
}

/// Tells every second how long a wait still is.
async fn count_down(host: String, wait: Duration, notice: crate::options::Notice) {
    const STEP: Duration = Duration::from_secs(1);
    let mut left = wait;
    while left > STEP {
        tokio::time::sleep(STEP).await;
        left -= STEP;
        notice(Event::StillWaiting {
            host: host.clone(),
            left,
        });
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Whether an error leaves it open that the request can succeed, and harmless to try.
fn may_repeat(error: &Error, retry: Retry) -> bool {
    match (error, retry) {
        (Error::Network { before_send, .. }, Retry::Refused) => *before_send,
        (Error::Network { .. } | Error::Timeout { .. }, Retry::Always) => !is_hopeless(error),
        _ => false,
    }
}

/// Attempts to reach a host at all. A registry that restarts is back within a second; one that is down should be reported soon.
const CONNECT_ATTEMPTS: u32 = 3;

fn unreachable(error: &Error, attempt: u32) -> bool {
    matches!(
        error,
        Error::Network {
            before_send: true,
            ..
        }
    ) && attempt >= CONNECT_ATTEMPTS
}

/// Failures that are the same each time: names that do not exist and certificates that are not trusted.
fn is_hopeless(error: &Error) -> bool {
    let Error::Network { reason, .. } = error else {
        return false;
    };
    [
        "peer certificate",
        "CertificateRequired",
        "BadCertificate",
        "Name or service not known",
        "InvalidContentType",
    ]
    .iter()
    .any(|sign| reason.contains(sign))
}

/// The name of a host in the shared state: with its port.
fn host_key(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
