//! The lines of a trace: each request and its answer, without secrets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use url::Url;

use super::redact::redact;

/// Headers that explain what happens and never hold a secret. `Location` is shown as other URLs are.
const SHOWN: &[&str] = &[
    "accept-ranges",
    "content-length",
    "content-range",
    "content-type",
    "docker-content-digest",
    "docker-ratelimit-source",
    "oci-chunk-min-length",
    "oci-subject",
    "oci-tag",
    "range",
    "ratelimit-limit",
    "ratelimit-remaining",
    "retry-after",
    "server",
    "warning",
    "www-authenticate",
];

/// Numbers requests, so that answers can be told apart.
#[derive(Debug, Default)]
pub(super) struct Numbers(AtomicU64);

impl Numbers {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A request that leaves.
pub(super) fn request(number: u64, method: &Method, url: &Url, headers: &HeaderMap) -> String {
    let mut line = format!("#{number} {method} {}", redact(url));
    push_headers(&mut line, headers);
    if let Some(value) = headers.get(AUTHORIZATION) {
        // The scheme alone.
        let scheme = value.to_str().unwrap_or("").split(' ').next().unwrap_or("");
        line.push_str(&format!(" [authorization: {scheme} (hidden)]"));
    }
    line
}

/// Its answer.
pub(super) fn answer(
    number: u64,
    url: &Url,
    response: &reqwest::Response,
    after: Duration,
) -> String {
    let mut line = format!(
        "#{number} {} {:?} after {} ms",
        response.status(),
        response.version(),
        after.as_millis()
    );
    push_headers(&mut line, response.headers());
    if let Some(location) = response.headers().get(LOCATION) {
        let shown = location.to_str().ok().and_then(|text| url.join(text).ok());
        let shown = shown.map_or_else(|| "(no URL)".to_owned(), |url| redact(&url));
        line.push_str(&format!(" [location: {shown}]"));
    }
    line
}

fn push_headers(line: &mut String, headers: &HeaderMap) {
    for (name, value) in headers {
        if SHOWN.contains(&name.as_str())
            && let Ok(text) = value.to_str()
        {
            line.push_str(&format!(" [{name}: {}]", text.escape_debug()));
        }
    }
}
