//! Names and numbers of signals, as `STOPSIGNAL` takes them.

/// Linux signals without the real-time ones.
const SIGNALS: [(&str, i32); 36] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// Real-time signals: `RTMIN+1` to `RTMIN+15` and `RTMAX-14` to `RTMAX-1`.
const REAL_TIME: (i32, i32) = (34, 64);

/// Not a signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct SignalError(pub String);

/// The number of a signal given by number or name, with or without `SIG`, in any case.
///
/// # Errors
/// Fails on anything else.
pub fn parse(text: &str) -> Result<i32, SignalError> {
    let invalid = || SignalError(text.to_owned());
    if let Ok(number) = text.parse::<i32>() {
        return if number > 0 {
            Ok(number)
        } else {
            Err(invalid())
        };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |prefix: &str, limit: i32| {
        name.strip_prefix(prefix)
            .and_then(|rest| rest.parse::<i32>().ok())
            .filter(|offset| (1..=limit).contains(offset))
    };
    let real_time = offset("RTMIN+", 15)
        .map(|offset| REAL_TIME.0 + offset)
        .or_else(|| offset("RTMAX-", 14).map(|offset| REAL_TIME.1 - offset));
    real_time.ok_or_else(invalid)
}

/// The name, with `SIG`, that was probably meant.
pub fn nearest(text: &str) -> Option<String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    crate::suggest::nearest(name, SIGNALS.iter().map(|(name, _)| *name))
        .map(|name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("sigusr1", 10),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for text in ["", "0", "-1", "SIGFOO", "RTMIN+16"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(nearest("SIGTREM"), Some("SIGTERM".to_owned()));
    }
}
