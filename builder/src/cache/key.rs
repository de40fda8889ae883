//! How keys are made: every part with its length, so that no two lists of parts look alike.

use kiln_store::CacheKey;
use serde::Serialize;

/// Changes when the meaning of a key changes; older records are then never found.
const VERSION: &str = "kiln 1";

/// Hashes the parts of a key.
#[derive(Debug)]
pub(crate) struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    /// Begins a key of this kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut hasher = Self(blake3::Hasher::new());
        hasher.bytes(VERSION.as_bytes());
        hasher.bytes(kind.as_bytes());
        hasher
    }

    /// Adds a part of any length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// Adds a hash.
    pub(crate) fn raw(&mut self, hash: &[u8; 32]) {
        self.0.update(hash);
    }

    /// Adds a value by its JSON. The types that kiln hashes this way have an order of fields and no maps with keys
    /// other than text, so their JSON is one text.
    pub(crate) fn value(&mut self, value: &impl Serialize) {
        match serde_json::to_vec(value) {
            Ok(json) => self.bytes(&json),
            // Reached only by a map with keys that are no text; then nothing may ever be found under this key.
            Err(_) => self.bytes(
                &std::time::UNIX_EPOCH
                    .elapsed()
                    .unwrap_or_default()
                    .as_nanos()
                    .to_le_bytes(),
            ),
        }
    }

    /// Ends it.
    pub(crate) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    /// Ends it as the key of a record.
    pub(crate) fn key(&self) -> CacheKey {
        CacheKey(self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::KeyHasher;

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[&str]| {
            let mut hasher = KeyHasher::new("test");
            for part in parts {
                hasher.bytes(part.as_bytes());
            }
            hasher.key()
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab"]), key(&["ab", ""]));
        assert_eq!(key(&["ab"]), key(&["ab"]));
    }
}
