//! When and how long to wait before a request is sent again.

use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

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
    let header = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    header
        .and_then(|text| parse_wait(text, now))
        .or_else(|| wait_in_text(body, now))
}

/// The value of a Retry-After: seconds (also with a fraction), an HTTP date, or a number with a unit.
pub(crate) fn parse_wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim().trim_matches('"');
    if let Ok(seconds) = text.parse::<f64>() {
        return duration(seconds);
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
