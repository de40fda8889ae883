//! Digests of content as the OCI writes them: `algorithm:hex`.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Bytes of the longest digest known here.
const MAX_BYTES: usize = 64;

/// A hash function that a digest may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// The one that every registry uses.
    Sha256,
    /// Registered by the OCI, seldom seen.
    Sha384,
    /// Registered by the OCI, seldom seen.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// How many bytes a digest has.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }
}

/// The identity of content: an algorithm and the hash of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero behind the length of the algorithm, so that comparing whole arrays is right.
    bytes: [u8; MAX_BYTES],
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Not of the form `algorithm:hex`.
    #[error("invalid digest format: \"{0}\" is not algorithm:hex")]
    Format(String),
    /// A hash function that kiln does not know.
    #[error("unsupported digest algorithm in \"{0}\": use sha256, sha384 or sha512")]
    Algorithm(String),
    /// Too few or too many digits.
    #[error("invalid digest length: \"{0}\"")]
    Length(String),
}

impl Digest {
    /// The SHA-256 digest of these bytes.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::from_bytes(Algorithm::Sha256, &Sha256::digest(bytes))
    }

    /// The digest of these bytes by this algorithm.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Takes the result of a SHA-256 computed elsewhere.
    #[must_use]
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        Self::from_bytes(Algorithm::Sha256, &hash)
    }

    fn from_bytes(algorithm: Algorithm, hash: &[u8]) -> Self {
        let mut bytes = [0; MAX_BYTES];
        bytes[..hash.len()].copy_from_slice(hash);
        Self { algorithm, bytes }
    }

    /// The hash function.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.size()]
    }

    /// The hash as lower-case digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(self.as_bytes())
    }

    /// The first twelve digits, as shown to people.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.bytes[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, digits) = text
            .split_once(':')
            .filter(|(name, digits)| is_algorithm_name(name) && !digits.is_empty())
            .ok_or_else(|| DigestError::Format(text.to_owned()))?;
        let algorithm =
            Algorithm::from_name(name).ok_or_else(|| DigestError::Algorithm(text.to_owned()))?;
        if digits.len() != algorithm.size() * 2 {
            return Err(DigestError::Length(text.to_owned()));
        }
        let mut bytes = [0; MAX_BYTES];
        unhex(digits, &mut bytes[..algorithm.size()])
            .ok_or_else(|| DigestError::Format(text.to_owned()))?;
        Ok(Self { algorithm, bytes })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes content piece by piece.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    /// Starts with this algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha384 => State::Sha384(Sha384::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Starts with SHA-256.
    #[must_use]
    pub fn sha256() -> Self {
        Self::new(Algorithm::Sha256)
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_bytes(Algorithm::Sha256, &state.finalize()),
            State::Sha384(state) => Digest::from_bytes(Algorithm::Sha384, &state.finalize()),
            State::Sha512(state) => Digest::from_bytes(Algorithm::Sha512, &state.finalize()),
        }
    }
}

/// `[a-z0-9]+` parts joined by one of `+._-` (image-spec descriptor.md, Digests).
fn is_algorithm_name(name: &str) -> bool {
    name.split(['+', '.', '_', '-']).all(|part| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads lower-case digits into exactly `out`; `None` when they are anything else.
pub(crate) fn unhex(text: &str, out: &mut [u8]) -> Option<()> {
    fn value(digit: u8) -> Option<u8> {
        match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        }
    }
    let digits = text.as_bytes();
    if digits.len() != out.len() * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(())
}
