//! Durations as Go writes them: `1h30m`, `1.5s`, `500ms`, `0`.

use std::time::Duration;

use crate::quote::go_quote;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a number, or too large.
    #[error("time: invalid duration {}", go_quote(.0))]
    Invalid(String),
    /// A number alone.
    #[error("time: missing unit in duration {}", go_quote(.0))]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {} in duration {}", go_quote(unit), go_quote(text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Health checks can't run that often, or at negative times.
    #[error("Interval {} cannot be less than 1ms", go_quote(.0))]
    TooShort(String),
}

/// A duration in nanoseconds with its sign.
///
/// # Errors
/// Fails with Go's words on anything that `time.ParseDuration` refuses.
pub fn parse_nanoseconds(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        let unit_end = after
            .find(|character: char| character.is_ascii_digit() || character == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let scale = unit_nanoseconds(unit).ok_or_else(|| DurationError::UnknownUnit {
            unit: unit.to_owned(),
            text: text.to_owned(),
        })?;
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| invalid())?
        };
        total = whole
            .checked_mul(scale)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(invalid)?;
        total += fraction_of(fraction, scale);
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// The value of a `HEALTHCHECK` flag: at least a millisecond, or zero.
///
/// # Errors
/// Fails on no duration, and on one that is neither zero nor at least a millisecond; `flag` is its name for the message.
pub fn parse_interval(flag: &str, text: &str) -> Result<Duration, DurationError> {
    match parse_nanoseconds(text)? {
        0 => Ok(Duration::ZERO),
        nanoseconds if nanoseconds < 1_000_000 => Err(DurationError::TooShort(flag.to_owned())),
        nanoseconds => Ok(Duration::from_nanos(nanoseconds.unsigned_abs())),
    }
}

fn unit_nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn fraction_of(digits: &str, scale: i128) -> i128 {
    // Eighteen digits are more than a nanosecond of any unit can hold.
    let digits = &digits[..digits.len().min(18)];
    let value: i128 = digits.parse().unwrap_or(0);
    // At most eighteen digits, so the power fits.
    value * scale / 10_i128.pow(u32::try_from(digits.len()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("-1ms", -1_000_000),
            ("+1us", 1_000),
            ("1µs2ns", 1_002),
            ("1h0.000000001s", 3_600_000_000_001),
        ] {
            assert_eq!(parse_nanoseconds(text), Ok(nanoseconds), "{text}");
        }
        for text in [
            "",
            "s",
            "5",
            "5x",
            "1.2.3s",
            ".s",
            "- 1s",
            "9999999999999h",
            "-",
        ] {
            assert!(parse_nanoseconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_go() {
        let message = |text: &str| parse_nanoseconds(text).unwrap_err().to_string();
        assert_eq!(message("5"), "time: missing unit in duration \"5\"");
        assert_eq!(message("5x"), "time: unknown unit \"x\" in duration \"5x\"");
        assert_eq!(message("abc"), "time: invalid duration \"abc\"");
        let error = parse_interval("timeout", "10us").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Interval \"timeout\" cannot be less than 1ms"
        );
        assert_eq!(parse_interval("timeout", "0s"), Ok(Duration::ZERO));
        assert!(parse_interval("timeout", "-5s").is_err());
    }
}
