//! What the store knows of a layer beside its files.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::store::lease::Held;
use crate::{ContentDigest, Descriptor, DiffId, Store};

use super::Result;

/// The directory of a layer's files.
pub(crate) const FILES: &str = "fs";

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The digest of its tar.
    pub diff_id: DiffId,
    /// What it holds, times left out. For a pulled layer, whose identity is its diff id, a hash of that.
    pub content: ContentDigest,
    /// The length of its tar.
    pub tar_size: u64,
    /// Entries in its tar.
    pub entries: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// Directories that are among its files but not in its tar: their attributes come from the layers below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implied: Vec<StoredPath>,
    /// Everything in lower layers is deleted. Overlay knows no such mark, so a stack leaves the lower layers out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hides_all: bool,
    /// Hard links to files of lower layers; a stack makes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<PendingLink>,
    /// What could not be made here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Blobs that hold this layer; a blob itself may have been pruned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Descriptor>,
}

/// Where a layer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Written here: its tar can be made again from its files at any time.
    Written,
    /// Received: only its blob has the right bytes.
    Received,
}

/// A hard link whose target lies in a lower layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLink {
    /// The name to make.
    pub path: StoredPath,
    /// The file that it names.
    pub target: StoredPath,
}

/// Something of a layer that this user may not make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The entry.
    pub path: StoredPath,
    /// What is missing: `device`, or the name of an extended attribute.
    pub what: String,
}

/// A path inside a tree that survives JSON: UTF-8 as it is, other bytes as `\xNN`, a backslash doubled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredPath(pub Vec<u8>);

impl Serialize for StoredPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            text.push_str(&chunk.valid().replace('\\', "\\\\"));
            for byte in chunk.invalid() {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for StoredPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unescape(text.as_bytes())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("broken escape in a path"))
    }
}

fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        if byte != b'\\' {
            path.push(byte);
            continue;
        }
        if let Some(rest) = text.strip_prefix(b"\\") {
            path.push(b'\\');
            text = rest;
        } else {
            let hex = std::str::from_utf8(text.strip_prefix(b"x")?.get(..2)?).ok()?;
            path.push(u8::from_str_radix(hex, 16).ok()?);
            text = &text[3..];
        }
    }
    Some(path)
}

impl Store {
    /// What is known of a layer, `None` when it isn't in the store. The layer stays while this process lives.
    pub fn layer(&self, diff_id: &DiffId) -> Result<Option<LayerRecord>> {
        let file = self.directory::<LayerRecord>(Held::Layer(*diff_id))?;
        Ok(file.map(|file| file.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_json() {
        for path in [
            &b""[..],
            b"usr/lib",
            b"a\\b\\x41",
            b"\xff\xfe/\xc3\xa9",
            "\u{e9}\"\n".as_bytes(),
        ] {
            let stored = StoredPath(path.to_vec());
            let json = serde_json::to_string(&stored).unwrap();
            assert_eq!(
                serde_json::from_str::<StoredPath>(&json).unwrap(),
                stored,
                "{json}"
            );
        }
        assert!(serde_json::from_str::<StoredPath>("\"a\\\\q\"").is_err());
    }
}
