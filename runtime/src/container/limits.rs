//! `--ulimit` as docker takes it.

use super::error::{Error, Result};
use super::monitor::rlimits;
use crate::Rlimit;

/// Names with the kernel's numbers.
const NAMES: [(&str, u32); 15] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];

/// Reads `name=soft[:hard]`; -1 is unlimited. The result is the resource's number with both limits.
pub(crate) fn parse_ulimit(text: &str) -> Result<(u32, u64, u64)> {
    let invalid =
        |reason: &str| Error::Invalid(format!("invalid ulimit argument: {text}: {reason}"));
    let (name, limits) = text
        .split_once('=')
        .ok_or_else(|| invalid("name=soft[:hard] is expected"))?;
    let number = NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .ok_or_else(|| invalid("there is no such limit"))?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let read = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        text => text
            .parse::<u64>()
            .map_err(|_| invalid("limits are numbers or -1")),
    };
    let (soft, hard) = (read(soft)?, read(hard)?);
    if soft > hard {
        return Err(invalid("the soft limit is above the hard limit"));
    }
    Ok((number, soft, hard))
}

/// Reads one `--ulimit`.
pub fn parse_rlimit(text: &str) -> Result<Rlimit> {
    let limits = rlimits(&[parse_ulimit(text)?]);
    let first = limits.into_iter().next();
    first.ok_or_else(|| Error::Invalid(format!("invalid ulimit argument: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(parse_ulimit("nofile=1024:2048").unwrap(), (7, 1024, 2048));
        assert_eq!(parse_ulimit("core=0").unwrap(), (4, 0, 0));
        assert_eq!(parse_ulimit("memlock=-1").unwrap(), (8, u64::MAX, u64::MAX));
        for text in ["nofile", "what=1", "nofile=x", "nofile=5:4", "nofile=-1:5"] {
            assert!(parse_ulimit(text).is_err(), "{text}");
        }
    }
}
