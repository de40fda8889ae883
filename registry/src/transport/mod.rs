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
mod hosts;
mod meter;
mod redact;
mod request;
mod retry;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::error::{Error, Result, chain, describe};
use crate::event::Event;
use crate::options::ClientOptions;

pub(crate) use address::{check as check_address, is_loopback, same_origin};
pub(crate) use answer::Answer;
pub(crate) use connect::Trust;
use connect::{Class, Connections};
use hosts::{HostState, Hosts};
pub(crate) use meter::Meter;
pub use meter::Traffic;
pub(crate) use redact::redact;
use request::{Departing, Departure};
pub(crate) use request::{Payload, Request};
pub(crate) use retry::{Backoff, Retry};

/// Sends requests.
pub(crate) struct Transport {
    options: Arc<ClientOptions>,
    connections: Connections,
    hosts: Hosts,
}

impl Transport {
    pub(crate) fn new(options: Arc<ClientOptions>) -> Self {
        Self {
            connections: Connections::new(options.clone()),
            hosts: Hosts::new(options.transfers_per_host),
            options,
        }
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
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
                        return Err(self.too_long(&answer.url, asked, error));
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
                Err(_) => tokio::time::sleep(self.backoff().wait(attempt)).await,
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
    ) -> Error {
        match asked {
            Some(asked) => Error::RateLimited {
                host: host_key(url),
                asked,
                allowed: self.options.longest_wait,
            },
            None => Error::Status(Box::new(error)),
        }
    }

    fn pause(&self, url: &Url, wait: Duration, meter: &Meter) {
        let host = host_key(url);
        self.hosts.get(&host).pause(wait);
        meter.count_wait(wait);
        if let Some(notice) = &self.options.notice {
            notice(Event::Waiting { host, wait });
        }
    }

    /// Sends a request and follows where it is sent on to.
    async fn follow(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
        trust: &Trust,
    ) -> Result<Answer> {
        let mut url = request.url.clone();
        let mut method = request.method.clone();
        let mut authorization = authorization;
        for _ in 0..=address::MOST_REDIRECTS {
            let answer = self
                .once(request, &method, &url, authorization, trust)
                .await?;
            if !request.follow {
                return Ok(answer);
            }
            let Some(location) = redirect_target(&answer)? else {
                return Ok(answer);
            };
            address::check(&url, &location, !trust.verify)?;
            if !same_origin(&url, &location) {
                // Once left, the origin's credentials are gone for the rest of the chain: it may lead back through a stranger.
                authorization = None;
            }
            if answer.status() == StatusCode::SEE_OTHER && method != Method::HEAD {
                method = Method::GET;
            }
            answer.finish().await;
            url = location;
        }
        Err(Error::Redirect {
            from: redact(&request.url),
            to: redact(&url),
            reason: "there are too many redirects",
        })
    }

    /// One request, one answer.
    async fn once(
        &self,
        request: &Request,
        method: &Method,
        url: &Url,
        authorization: Option<&HeaderValue>,
        trust: &Trust,
    ) -> Result<Answer> {
        let host = self.hosts.get(&host_key(url));
        let permit = self.enter(&host, request.class).await;
        let client = self.connections.client(url, request.class, trust)?;
        let mut outgoing = reqwest::Request::new(method.clone(), url.clone());
        *outgoing.headers_mut() = request.headers.clone();
        // Layers must arrive as they are stored.
        outgoing
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(value) = authorization {
            outgoing.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        let departure = Departure::new();
        attach(&mut outgoing, request, &departure).await?;
        request.meter.count_request();
        let response = self
            .watch(client.execute(outgoing), request, method, url, &departure)
            .await?;
        let stall = self.options.timeouts.stall;
        Ok(Answer {
            method: method.clone(),
            url: url.clone(),
            response,
            meter: request.meter.clone(),
            stall,
            permit,
        })
    }

    /// A place among the host's requests, outside of its pauses.
    async fn enter(
        &self,
        host: &HostState,
        class: Class,
    ) -> Option<tokio::sync::OwnedSemaphorePermit> {
        loop {
            if let Some(left) = host.pause_left() {
                tokio::time::sleep(left).await;
            }
            let permit = host.enter(class).await;
            if host.pause_left().is_none() {
                return permit;
            }
        }
    }

    /// Waits for the head of an answer: the body must keep moving, and the answer must come in time after it.
    async fn watch(
        &self,
        sending: impl Future<Output = reqwest::Result<reqwest::Response>>,
        request: &Request,
        method: &Method,
        url: &Url,
        departure: &Departure,
    ) -> Result<reqwest::Response> {
        let timeouts = &self.options.timeouts;
        let after_body = if request.quick {
            timeouts.answer
        } else {
            timeouts.finish
        };
        let mut sending = std::pin::pin!(sending);
        loop {
            let (last, done) = departure.state();
            let (limit, what) = if done {
                (after_body, "no answer")
            } else {
                (timeouts.stall, "the upload stood still")
            };
            let deadline = Instant::from_std(last) + limit;
            match tokio::time::timeout_at(deadline, sending.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    let before_send = error.is_connect();
                    let reason = chain(&error.without_url());
                    return Err(Error::Network {
                        method: method.clone(),
                        url: redact(url),
                        reason,
                        before_send,
                    });
                }
                Err(_) if departure.state() != (last, done) => {}
                Err(_) => {
                    return Err(Error::Timeout {
                        method: method.clone(),
                        url: redact(url),
                        what,
                        after: limit,
                    });
                }
            }
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Puts the payload into the outgoing request.
async fn attach(
    outgoing: &mut reqwest::Request,
    request: &Request,
    departure: &Arc<Departure>,
) -> Result<()> {
    let has_body = matches!(
        *outgoing.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    let length = match &request.payload {
        _ if !has_body => 0,
        Payload::None => 0,
        Payload::Bytes(bytes) => bytes.len() as u64,
        Payload::Blob(blob) => blob.size(),
    };
    if has_body {
        // Some registries answer 411 even to an empty body without its length.
        outgoing
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    match &request.payload {
        Payload::Blob(blob) if length > 0 => {
            let stream = blob.open(0).await?;
            let body = Departing::new(stream, length, departure.clone(), request.meter.clone());
            *outgoing.body_mut() = Some(reqwest::Body::wrap_stream(body));
        }
        Payload::Bytes(bytes) if length > 0 => {
            request.meter.count_sent(bytes.len());
            *outgoing.body_mut() = Some(reqwest::Body::from(bytes.clone()));
            departure.finish();
        }
        _ => departure.finish(),
    }
    Ok(())
}

/// Where an answer sends us on to, if it does.
fn redirect_target(answer: &Answer) -> Result<Option<Url>> {
    let redirects = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !redirects {
        return Ok(None);
    }
    let Some(location) = answer.header(&LOCATION) else {
        return Err(Error::protocol(
            answer.shown_url(),
            format!("{} without a Location", answer.status()),
        ));
    };
    let target = answer.url.join(location).map_err(|_| {
        Error::protocol(
            answer.shown_url(),
            "the Location of its redirect is not a URL",
        )
    })?;
    Ok(Some(target))
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
        "certificate",
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
