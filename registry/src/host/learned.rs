//! What a registry was seen to do, and keeping that for the next run.

use std::fmt;
use std::str::FromStr;

use kiln_store::{CacheKey, Store};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the body of a blob is sent to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadWay {
    /// Whole, in the request that ends the upload.
    Put,
    /// Whole, in a request before that.
    Stream,
    /// In pieces of so many bytes.
    Chunks(u64),
}

impl fmt::Display for UploadWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put => f.write_str("put"),
            Self::Stream => f.write_str("stream"),
            Self::Chunks(size) => write!(f, "chunked:{size}"),
        }
    }
}

impl FromStr for UploadWay {
    type Err = Error;

    /// `put`, `stream` or `chunked:SIZE` (bytes, or with `k`, `m`, `g` for powers of 1024).
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Options(format!(
                "`{text}` is no way to upload: it is `put`, `stream` or `chunked:SIZE`, such as `chunked:16m`"
            ))
        };
        match text.split_once(':') {
            None if text == "put" => Ok(Self::Put),
            None if text == "stream" => Ok(Self::Stream),
            Some(("chunked", size)) => {
                let size = parse_size(size)
                    .filter(|size| *size > 0)
                    .ok_or_else(wrong)?;
                Ok(Self::Chunks(size))
            }
            _ => Err(wrong()),
        }
    }
}

/// A number of bytes, with an optional unit: `k`, `m`, `g` (also `KiB`, `mb`), powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(lower.len());
    let number: u64 = lower[..digits].parse().ok()?;
    let power = match lower[digits..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.checked_mul(1 << power)
}

/// What a registry does when it is asked to mount a blob that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// Not seen yet.
    Unknown,
    /// A small blob is on its way that will tell.
    Learning,
    /// It answers 201.
    Work,
    /// It begins an upload all the same, or refuses.
    Ignored,
}

/// What is kept of a registry from one run to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostKnowledge {
    /// The way in which a blob was taken after another had been refused.
    pub upload: Option<UploadWay>,
    /// Whether mounts work.
    pub mounts: Option<bool>,
    /// When that was seen last, in seconds since 1970.
    pub seen: u64,
}

/// What was seen longer ago than this is found out again: registries are upgraded, and their front ends changed. Seven days.
pub(super) const FORGOTTEN_AFTER: u64 = 7 * 24 * 60 * 60;

impl HostKnowledge {
    /// The same, unless it is too old at `now` (or from a clock that was wrong).
    pub(super) fn if_recent(self, now: u64) -> Self {
        match now.checked_sub(self.seen) {
            Some(age) if age <= FORGOTTEN_AFTER => self,
            _ => Self::default(),
        }
    }
}

/// Keeps what is known of registries.
pub trait HostMemory: Send + Sync + fmt::Debug {
    /// What is known of a registry (by its name in references).
    fn recall(&self, registry: &str) -> Result<HostKnowledge>;
    /// Replaces what is known of it.
    fn keep(&self, registry: &str, knowledge: &HostKnowledge) -> Result<()>;
}

/// The kind of these records.
const KIND: &str = "registry";

impl HostMemory for Store {
    fn recall(&self, registry: &str) -> Result<HostKnowledge> {
        let record = self.record::<HostKnowledge>(KIND, &CacheKey::of(registry.as_bytes()))?;
        Ok(record.map(|record| record.body).unwrap_or_default())
    }

    fn keep(&self, registry: &str, knowledge: &HostKnowledge) -> Result<()> {
        Ok(self.put_record(KIND, &CacheKey::of(registry.as_bytes()), &[], knowledge)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_read_as_they_are_written() {
        for (text, way) in [
            ("put", UploadWay::Put),
            ("stream", UploadWay::Stream),
            ("chunked:5", UploadWay::Chunks(5)),
        ] {
            assert_eq!(text.parse::<UploadWay>().unwrap(), way);
            assert_eq!(way.to_string(), text);
        }
        assert_eq!(
            "chunked:16m".parse::<UploadWay>().unwrap(),
            UploadWay::Chunks(16 << 20)
        );
        for wrong in ["", "PUT", "chunked", "chunked:0", "chunked:x", "stream:4"] {
            assert!(wrong.parse::<UploadWay>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn old_knowledge_is_none() {
        let known = HostKnowledge {
            upload: Some(UploadWay::Stream),
            mounts: Some(true),
            seen: 1_000_000,
        };
        let at = |now: u64| known.clone().if_recent(now);
        assert_eq!(at(1_000_000), known);
        assert_eq!(at(1_000_000 + FORGOTTEN_AFTER), known);
        for now in [1_000_001 + FORGOTTEN_AFTER, 999_999] {
            assert_eq!(at(now), HostKnowledge::default(), "{now}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in [("7", 7), ("1k", 1024), ("2 MiB", 2 << 20), ("1GB", 1 << 30)] {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        for wrong in ["", "k", "-1", "1.5m", "3t", "99999999999999999999"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
