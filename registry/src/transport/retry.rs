//! When and how long to wait before a request is sent again.

use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::error::{OciError, StatusError};

/// How a request may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Repeating it is harmless: after any transient failure.
    Always,
    /// Only when the server has certainly not acted on it: it could not be reached, or it said "too many requests" or "unavailable".
    Refused,
    /// Not at all: the caller can live without an answer.
    Never,
}

/// Waiting times that double, with jitter so that many clients do not return together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The first wait.
    pub(crate) first: Duration,
    /// The longest wait that backoff alone causes; a server may ask for more.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The wait before attempt `attempt + 1`, counting from 1: between half and all of the doubled time.
    pub(crate) fn wait(&self, attempt: u32) -> Duration {
        let full = self
            .first
            .saturating_mul(1 << attempt.saturating_sub(1).min(16))
            .min(self.longest);
        full / 2 + full.mul_f64(random_fraction() / 2.0)
    }
}

/// A number in [0, 1), different on each call; good enough for jitter and needs no crate.
fn random_fraction() -> f64 {
    let bits = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// True for an answer that may be different next time.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// True for an answer that says that the request was not acted on.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// How long the server asks to wait, from any header or body text that says so.
pub(crate) fn asked_wait(headers: &HeaderMap, body: &str, now: SystemTime) -> Option<Duration> {
    let named = |name: &str| parse_wait(headers.get(name)?.to_str().ok()?, now);
    WAIT_HEADERS
        .iter()
        .find_map(|name| named(name))
        .or_else(|| wait_in_text(body, now))
}

/// Headers that say how long to wait or until when, the standard one first. Docker Hub's hold the second since 1970.
const WAIT_HEADERS: [&str; 4] = [
    "retry-after",
    "x-retry-after",
    "ratelimit-reset",
    "x-ratelimit-reset",
];

/// Numbers from here on are points in time: as a wait it would be 31 years.
const FIRST_POINT: f64 = 1e9;

/// An error with what the registry says of its limit: `ratelimit-limit: 100;w=21600`.
pub(crate) fn with_limit(mut error: StatusError, headers: &HeaderMap) -> StatusError {
    let text = headers
        .get("ratelimit-limit")
        .and_then(|value| value.to_str().ok());
    let limit = text.and_then(|text| {
        let (count, rest) = text.split_once(";w=")?;
        let seconds: u64 = rest.trim().parse().ok()?;
        Some((count.trim().parse::<u64>().ok()?, seconds))
    });
    if let Some((count, seconds)) = limit {
        let window = match seconds {
            seconds if seconds % 3600 == 0 => format!("{} hours", seconds / 3600),
            seconds => format!("{seconds} seconds"),
        };
        if error.errors.is_empty() && !error.body.is_empty() {
            error.errors.push(OciError {
                message: std::mem::take(&mut error.body),
                ..OciError::default()
            });
        }
        error.errors.push(OciError {
            message: format!("it allows {count} requests in {window}"),
            ..OciError::default()
        });
    }
    error
}

/// The value of a Retry-After: seconds (also with a fraction), an HTTP date, or a number with a unit.
pub(crate) fn parse_wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim().trim_matches('"');
    if let Ok(number) = text.parse::<f64>() {
        if number < FIRST_POINT || !number.is_finite() {
            return duration(number);
        }
        let point = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        return duration((number - point.as_secs_f64()).max(0.0));
    }
    if let Some(wait) = parse_with_units(text) {
        return Some(wait);
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    Some(
        SystemTime::from(date)
            .duration_since(now)
            .unwrap_or(Duration::ZERO),
    )
}

/// "1m30s", "880.092µs", "250 ms", "5 seconds".
fn parse_with_units(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        let scale = match rest[..letters].to_lowercase().as_str() {
            "ns" => 1e-9,
            // The micro sign and the Greek letter are different characters; Go prints the first.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" | "milliseconds" => 1e-3,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(duration(number * scale)?)?;
        rest = rest[letters..].trim_start_matches([' ', ',']);
    }
    Some(total)
}

/// The wait in a text such as `toomanyrequests: retry-after: 880.092µs, allowed: 2000/minute`.
fn wait_in_text(body: &str, now: SystemTime) -> Option<Duration> {
    let lower = body.to_lowercase();
    let start = lower
        .find("retry-after:")
        .map(|at| at + "retry-after:".len())
        .or_else(|| lower.find("retry after ").map(|at| at + 12))?;
    let rest = lower[start..].trim_start();
    let end = rest.find([',', ';', '"', '\n']).unwrap_or(rest.len());
    parse_wait(rest[..end].trim_end_matches(['.', ' ', '}']), now)
}

/// Rejects what is negative, not a number, or longer than any wait can be.
fn duration(seconds: f64) -> Option<Duration> {
    const YEAR: f64 = 366.0 * 86400.0;
    (0.0..=YEAR)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn retry_after_in_all_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let millis = |text: &str| parse_wait(text, now).map(|wait| wait.as_micros());
        assert_eq!(millis("120"), Some(120_000_000));
        assert_eq!(millis(" 0 "), Some(0));
        assert_eq!(millis("1.5"), Some(1_500_000));
        assert_eq!(millis("880.092\u{b5}s"), Some(880));
        assert_eq!(millis("250 ms"), Some(250_000));
        assert_eq!(millis("1m30s"), Some(90_000_000));
        assert_eq!(millis("5 seconds"), Some(5_000_000));
        assert_eq!(millis("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000_000));
        assert_eq!(millis("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        // Docker Hub's own: a point in time.
        let point = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let until = |text: &str| parse_wait(text, point);
        assert_eq!(until("1900000030"), Some(Duration::from_secs(30)));
        assert_eq!(until("1800000000"), Some(Duration::ZERO));
        for wrong in ["", "-3", "soon", "NaN", "inf", "1e300", "5 lightyears"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn retry_after_in_a_body() {
        let now = SystemTime::UNIX_EPOCH;
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 880.092µs, allowed: 44000/minute"}]}"#;
        assert_eq!(
            asked_wait(&HeaderMap::new(), body, now),
            Some(Duration::from_nanos(880_092))
        );
        assert_eq!(
            asked_wait(&HeaderMap::new(), "slow down, retry after 3 seconds.", now),
            Some(Duration::from_secs(3))
        );
        assert_eq!(asked_wait(&HeaderMap::new(), "slow down", now), None);
    }

    #[test]
    fn headers_of_limits() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let wait = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            asked_wait(&headers, "", now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("retry-after", "7"), Some(7));
        assert_eq!(wait("x-retry-after", "1900000060"), Some(60));
        assert_eq!(wait("x-ratelimit-reset", "1900000061"), Some(61));
        assert_eq!(wait("ratelimit-reset", "12"), Some(12));
        assert_eq!(wait("ratelimit-remaining", "0;w=21600"), None);
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit-limit", HeaderValue::from_static("100;w=21600"));
        let error = StatusError {
            method: reqwest::Method::GET,
            url: "https://x/".to_owned(),
            status: StatusCode::TOO_MANY_REQUESTS,
            errors: Vec::new(),
            body: String::new(),
        };
        assert_eq!(
            with_limit(error, &headers).to_string(),
            "GET https://x/: 429 Too Many Requests: it allows 100 requests in 6 hours"
        );
    }

    #[test]
    fn backoff_doubles_within_bounds() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
        };
        for (attempt, full) in [(1, 100), (2, 200), (3, 400), (9, 1000), (u32::MAX, 1000)] {
            let wait = backoff.wait(attempt).as_millis();
            assert!(
                (full / 2..=full).contains(&wait),
                "attempt {attempt}: {wait}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_wait_is_read(text in ".{0,40}", number in "[0-9.]{0,30}( ?[a-zA-Z\u{b5}]{0,4}){0,3}") {
            let now = SystemTime::now();
            parse_wait(&text, now);
            parse_wait(&number, now);
            asked_wait(&HeaderMap::new(), &format!("retry-after: {text}"), now);
        }
    }
}
