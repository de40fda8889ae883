//! Word expansion: `$name`, `${name...}`, quotes and escapes of one word, with the exact semantics of the reference builder.
//!
//! This is not a shell: there is no globbing, no field splitting unless asked for ([`expand_words`]), no command substitution, and
//! positional and special parameters are always unset.

mod lexer;
mod lookup;
mod pattern;
mod substitution;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use lexer::Lexer;

use crate::quote::go_quote;

/// Where the values of variables come from.
pub trait Variables {
    /// The value of `name`, or none if it is not set. Set but empty is not the same as unset.
    fn value(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unset;

impl Variables for Unset {
    fn value(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Variables for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl<S: std::hash::BuildHasher> Variables for HashMap<String, String, S> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// A list as in an image config; the last entry of a name counts.
impl<K: AsRef<str>, V: AsRef<str>> Variables for [(K, V)] {
    fn value(&self, name: &str) -> Option<&str> {
        self.iter()
            .rev()
            .find(|(key, _)| key.as_ref() == name)
            .map(|(_, value)| value.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Variables for Vec<(K, V)> {
    fn value(&self, name: &str) -> Option<&str> {
        self.as_slice().value(name)
    }
}

/// Why a word could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {}: {reason}", go_quote(word))]
pub struct ExpandError {
    /// The word.
    pub word: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a word became.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The value as one word.
    pub text: String,
    /// The value split at blanks that are neither quoted nor escaped.
    pub words: Vec<String>,
    /// Variables that were looked up and found.
    pub used: BTreeSet<String>,
    /// Variables that were looked up and not found.
    pub missing: BTreeSet<String>,
}

/// Expands `word` to one string.
///
/// # Errors
/// Fails on an unterminated quote or brace, on an unknown or unsupported substitution, and where `${name?text}` says so.
pub fn expand(
    word: &str,
    escape: char,
    variables: &(impl Variables + ?Sized),
) -> Result<String, ExpandError> {
    if is_plain(word, escape) {
        return Ok(word.to_owned());
    }
    Lexer::new(escape)
        .expand(word, variables)
        .map(|expansion| expansion.text)
}

/// Expands `word` and splits the result at blanks; blanks that come from a variable split too, quoted and escaped ones don't.
///
/// # Errors
/// As [`expand`].
pub fn expand_words(
    word: &str,
    escape: char,
    variables: &(impl Variables + ?Sized),
) -> Result<Vec<String>, ExpandError> {
    Lexer::new(escape)
        .expand(word, variables)
        .map(|expansion| expansion.words)
}

/// Whether expansion would return `word` unchanged whatever the variables are.
fn is_plain(word: &str, escape: char) -> bool {
    !word
        .chars()
        .any(|character| matches!(character, '$' | '\'' | '"') || character == escape)
}
