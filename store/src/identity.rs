//! Newtypes for identities that must not be confused with each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{hex, unhex};
use crate::{Digest, DigestError};

macro_rules! digest_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl $name {
            /// The digest itself.
            #[must_use]
            pub fn digest(&self) -> &Digest {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.parse().map(Self)
            }
        }

        impl From<Digest> for $name {
            fn from(digest: Digest) -> Self {
                Self(digest)
            }
        }
    };
}

digest_newtype! {
    /// The digest of a layer's uncompressed tar (image-spec config.md, Layer DiffID).
    DiffId
}
digest_newtype! {
    /// The identity of a stack of layers (image-spec config.md, Layer ChainID).
    ChainId
}
digest_newtype! {
    /// The digest of an image's configuration.
    ImageId
}

impl ChainId {
    /// The chain of these layers, lowest first; `None` for no layers.
    #[must_use]
    pub fn of(layers: &[DiffId]) -> Option<Self> {
        let (first, rest) = layers.split_first()?;
        Some(
            rest.iter()
                .fold(Self(first.0), |chain, layer| chain.then(layer)),
        )
    }

    /// The chain with one more layer on top.
    #[must_use]
    pub fn then(&self, layer: &DiffId) -> Self {
        Self(Digest::sha256(format!("{self} {layer}").as_bytes()))
    }
}

macro_rules! blake3_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The BLAKE3 hash of these bytes.
            #[must_use]
            pub fn of(bytes: &[u8]) -> Self {
                Self(*blake3::hash(bytes).as_bytes())
            }

            /// The raw hash.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                let mut bytes = [0; 32];
                unhex(text, &mut bytes).ok_or_else(|| DigestError::Format(text.to_owned()))?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

blake3_newtype! {
    /// What a layer holds, without times: the identity that the cache goes by, never seen outside.
    ContentDigest
}
blake3_newtype! {
    /// The key of a cache record.
    CacheKey
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_of_layers() {
        let layers: Vec<DiffId> = [b"a", b"b", b"c"].map(|b| DiffId(Digest::sha256(b))).into();
        assert_eq!(ChainId::of(&[]), None);
        assert_eq!(ChainId::of(&layers[..1]).map(|c| c.0), Some(layers[0].0));
        let two = Digest::sha256(format!("{} {}", layers[0], layers[1]).as_bytes());
        assert_eq!(ChainId::of(&layers[..2]), Some(ChainId(two)));
        let three = Digest::sha256(format!("{two} {}", layers[2]).as_bytes());
        assert_eq!(ChainId::of(&layers), Some(ChainId(three)));
    }

    #[test]
    fn keys_round_trip() {
        let key = CacheKey::of(b"kiln");
        assert_eq!(key.to_string().parse::<CacheKey>().unwrap(), key);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<CacheKey>(&json).unwrap(), key);
        assert!("zz".parse::<CacheKey>().is_err());
        assert!(key.to_string().to_uppercase().parse::<CacheKey>().is_err());
    }
}
