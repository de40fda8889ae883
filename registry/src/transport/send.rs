//! One try: the request with its payload, the redirects, the wait for the head of the answer.

use std::sync::Arc;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::error::{Error, Result, chain};

use super::address::{self, same_origin};
use super::answer::{Answer, Pace};
use super::connect::Trust;
use super::gate::Held;
use super::hosts::HostState;
use super::redact::redact;
use super::request::{Departing, Departure, Payload, Request};
use super::throttle::throttled;
use super::{Transport, host_key, trace};

impl Transport {
    /// Sends a request and follows where it is sent on to.
    pub(super) async fn follow(
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
        let place = self.enter(&host, request, method).await;
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
        self.attach(&mut outgoing, request, &departure).await?;
        request.meter.count_request();
        let number = self.numbers.next();
        self.explain(|| trace::request(number, method, url, outgoing.headers()));
        let start = Instant::now();
        let watched = self.watch(client.execute(outgoing), request, method, url, &departure);
        let response = match watched.await {
            Ok(response) => response,
            Err(error) => {
                self.explain(|| format!("#{number} failed: {error}"));
                return Err(error);
            }
        };
        self.explain(|| trace::answer(number, url, &response, start.elapsed()));
        let stall = self.options.timeouts.stall;
        Ok(Answer {
            method: method.clone(),
            url: url.clone(),
            response,
            meter: request.meter.clone(),
            stall,
            place,
            throttle: self.throttle.clone(),
            pace: Pace::default(),
        })
    }

    /// A place among the host's requests, outside of its pauses.
    async fn enter(&self, host: &HostState, request: &Request, method: &Method) -> Option<Held> {
        loop {
            if let Some(left) = host.pause_left() {
                tokio::time::sleep(left).await;
            }
            if request.placed {
                return None;
            }
            let place = host.enter(request.class, method).await;
            if host.pause_left().is_none() {
                return place;
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
                    if let Some(failure) = departure.take_failure() {
                        return Err(Error::Source(Box::new(failure)));
                    }
                    let before_send = error.is_connect();
                    let reason = reason(&error.without_url(), before_send);
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

    /// Puts the payload into the outgoing request.
    async fn attach(
        &self,
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
                let opened = blob.open(0).await;
                let mut stream = opened.map_err(|error| Error::Source(Box::new(error)))?;
                if let Some(throttle) = &self.throttle {
                    stream = throttled(stream, throttle.clone());
                }
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

/// The causes of a failure, without the library's names for its own stages.
fn reason(error: &reqwest::Error, before_send: bool) -> String {
    const STAGES: [&str; 5] = [
        "client error (Canceled): ",
        "error sending request: ",
        "client error (Connect): ",
        "client error (SendRequest): ",
        "tcp connect error: ",
    ];
    /// With TLS 1.3 a server refuses a client without a certificate only after the handshake: some say so, some hang up.
    const REFUSALS: [&str; 3] = [
        "CertificateRequired",
        "BadCertificate",
        "operation was canceled",
    ];
    let causes = STAGES
        .iter()
        .fold(chain(error), |text, stage| text.replacen(stage, "", 1));
    if REFUSALS.iter().any(|sign| causes.contains(sign)) {
        return format!(
            "{causes}; a registry that wants a certificate of its client ends connections like this (*.cert with *.key in certs.d, or `--cert-dir`)"
        );
    }
    if before_send {
        format!("cannot connect: {causes}")
    } else {
        causes
    }
}
