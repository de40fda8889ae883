//! Container ids: 64 hexadecimal digits, chosen at random.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::random;

/// Digits of a whole id.
const LENGTH: usize = 64;
/// Digits shown to people and used as the default host name, as docker does.
const SHORT_LENGTH: usize = 12;

/// The identity of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Chooses a new id. One whose short form is a number is not taken: as a host name it would be read as an address.
    pub fn random() -> Result<Self> {
        loop {
            let mut bytes = [0; LENGTH / 2];
            random::fill(&mut bytes)?;
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            if !hex[..SHORT_LENGTH]
                .bytes()
                .all(|byte| byte.is_ascii_digit())
            {
                return Ok(Self(hex));
            }
        }
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits.
    pub fn short(&self) -> &str {
        &self.0[..SHORT_LENGTH]
    }
}

/// Whether `text` could be the beginning of an id.
pub(crate) fn is_prefix(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LENGTH
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() == LENGTH && is_prefix(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Invalid(format!(
                "`{text}` is not a container id: 64 hexadecimal digits are expected"
            )))
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_round_trip() {
        let (one, two) = (
            ContainerId::random().unwrap(),
            ContainerId::random().unwrap(),
        );
        assert_ne!(one, two);
        assert_eq!(one.as_str().parse::<ContainerId>().unwrap(), one);
        assert_eq!(one.short().len(), 12);
        assert!(one.as_str().starts_with(one.short()));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "abc", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65)] {
            assert!(text.parse::<ContainerId>().is_err(), "{text}");
        }
        assert!(is_prefix("0af"));
        assert!(!is_prefix("web"));
        assert!(!is_prefix(""));
    }
}
