//! The keys that leave a terminal and let its container run: `ctrl-p,ctrl-q` unless chosen otherwise.

use super::error::{Error, Result};

/// Looks for a sequence of keys in what is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self {
            keys: vec![0x10, 0x11],
            matched: 0,
        }
    }
}

impl DetachKeys {
    /// Reads docker's notation: letters, or `ctrl-` with a letter or one of `@ [ \ ] ^ _`, with commas between.
    pub fn parse(text: &str) -> Result<Self> {
        let keys = text.split(',').map(parse_key).collect::<Result<Vec<_>>>()?;
        Ok(Self { keys, matched: 0 })
    }

    /// Takes typed bytes and adds to `through` those that are for the container; true when the sequence is complete.
    /// A beginning of the sequence is held back until the next key shows that it is none.
    pub(super) fn feed(&mut self, typed: &[u8], through: &mut Vec<u8>) -> bool {
        for &byte in typed {
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return true;
                }
                continue;
            }
            through.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(byte == self.keys[0]);
            if self.matched == 0 {
                through.push(byte);
            }
        }
        false
    }
}

fn parse_key(text: &str) -> Result<u8> {
    let invalid = || Error::Invalid(format!("invalid detach keys: unknown character: '{text}'"));
    match text.as_bytes() {
        [key] => Ok(*key),
        [b'c', b't', b'r', b'l', b'-', key] => match key.to_ascii_uppercase() {
            key @ b'@'..=b'_' => Ok(key - b'@'),
            _ => Err(invalid()),
        },
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_and_all_else_goes_through() {
        let mut keys = DetachKeys::default();
        let mut through = Vec::new();
        assert!(!keys.feed(b"ls\n\x10", &mut through));
        assert_eq!(through, b"ls\n");
        assert!(
            !keys.feed(b"x\x10\x10", &mut through),
            "a second ctrl-p begins anew"
        );
        assert_eq!(through, b"ls\n\x10x\x10");
        assert!(keys.feed(b"\x11", &mut through));
        assert_eq!(through, b"ls\n\x10x\x10");
    }

    #[test]
    fn notations() {
        assert_eq!(
            DetachKeys::parse("ctrl-p,ctrl-q").unwrap(),
            DetachKeys::default()
        );
        assert_eq!(DetachKeys::parse("ctrl-@,a").unwrap().keys, [0, b'a']);
        for text in ["", "ctrl-", "ctrl-1", "ab", "a,,b"] {
            assert!(DetachKeys::parse(text).is_err(), "{text}");
        }
    }
}
