//! Values that instructions check: signals, secrets by name.

/// The signals that have names on Linux, without `SIG`.
const SIGNALS: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "EMT",
];
/// How far the names of real-time signals reach from either end.
const REAL_TIME_FROM_MIN: u32 = 15;
const REAL_TIME_FROM_MAX: u32 = 14;

/// Tells whether `STOPSIGNAL` takes this value: a positive number, or a name with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number > 0;
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return is_offset(rest, '+', REAL_TIME_FROM_MIN);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return is_offset(rest, '-', REAL_TIME_FROM_MAX);
    }
    SIGNALS.contains(&name)
}

fn is_offset(text: &str, sign: char, most: u32) -> bool {
    let number = |digits: &str| {
        digits
            .parse::<u32>()
            .is_ok_and(|number| (1..=most).contains(&number))
    };
    text.is_empty() || text.strip_prefix(sign).is_some_and(number)
}

#[cfg(test)]
mod tests {
    use super::is_signal;

    #[test]
    fn signals_by_name_and_number() {
        for good in ["9", "KILL", "sigterm", "SIGRTMIN+3", "RTMAX-14", "rtmin"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["0", "-1", "", "SIGNOPE", "RTMIN+16", "RTMAX+1"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
