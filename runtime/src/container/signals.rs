//! Signals by name and number, as `--stop-signal`, `STOPSIGNAL` and `kill -s` take them.

use super::error::{Error, Result};

/// SIGTERM: what stops a container unless its image says otherwise.
pub(crate) const TERM: i32 = 15;
/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// The first real-time signal that programs may use with glibc (musl's is 35 too).
const RTMIN: i32 = 34;
/// The last signal.
const RTMAX: i32 = 64;

/// Names in the order of their numbers, from 1 (x86-64, aarch64 and most others).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Reads `TERM`, `SIGTERM`, `15` or `RTMIN+3`.
pub fn parse_signal(text: &str) -> Result<i32> {
    let invalid = || Error::Invalid(format!("Invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=RTMAX).contains(&number) {
            Ok(number)
        } else {
            Err(invalid())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(position) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(position + 1).map_err(|_| invalid());
    }
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => RTMIN,
        (_, Some("")) => RTMAX,
        (Some(offset), _) => {
            RTMIN
                + offset
                    .strip_prefix('+')
                    .and_then(|offset| offset.parse::<i32>().ok())
                    .ok_or_else(invalid)?
        }
        (_, Some(offset)) => {
            RTMAX
                - offset
                    .strip_prefix('-')
                    .and_then(|offset| offset.parse::<i32>().ok())
                    .ok_or_else(invalid)?
        }
        _ => return Err(invalid()),
    };
    if (RTMIN..=RTMAX).contains(&real_time) {
        Ok(real_time)
    } else {
        Err(invalid())
    }
}

/// The name of a signal, as `SIGTERM`.
pub(crate) fn signal_name(number: i32) -> String {
    match usize::try_from(number - 1)
        .ok()
        .and_then(|index| NAMES.get(index))
    {
        Some(name) => format!("SIG{name}"),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation() {
        for (text, number) in [
            ("TERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("SIGWINCH", 28),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("RTMIN", 34),
        ] {
            assert_eq!(parse_signal(text).unwrap(), number, "{text}");
        }
        for text in ["", "0", "65", "NOPE", "RTMIN+99", "RTMIN-1", "-9"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
        assert_eq!(signal_name(15), "SIGTERM");
        assert_eq!(signal_name(3), "SIGQUIT");
    }
}
