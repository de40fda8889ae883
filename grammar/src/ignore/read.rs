//! The lines of a `.dockerignore`.

use crate::mount::clean_path;
use crate::quote::go_quote;

/// Why an ignore file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `!` without anything to except.
    #[error("illegal exclusion pattern: \"!\" on line {line}")]
    BareException {
        /// The line, from 1.
        line: usize,
    },
    /// A bracket without its end, or the like.
    #[error("syntax error in pattern {} on line {line}", go_quote(pattern))]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The pattern.
        pattern: String,
    },
}

/// One pattern, cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub number: usize,
    pub pattern: String,
    pub exception: bool,
}

/// The patterns of a file. A `#` is a comment in the first column only, before blanks are trimmed.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, PatternError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut result = Vec::new();
    for (index, text) in text.split('\n').enumerate() {
        if !text.starts_with('#') {
            result.extend(line(text, index + 1)?);
        }
    }
    Ok(result)
}

/// One pattern; none if the line is blank.
pub(super) fn line(text: &str, number: usize) -> Result<Option<Line>, PatternError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (exception, text) = text
        .strip_prefix('!')
        .map_or((false, text), |rest| (true, rest.trim()));
    if text.is_empty() {
        return Err(PatternError::BareException { line: number });
    }
    let mut pattern = clean_path(text);
    if pattern.len() > 1 && pattern.starts_with('/') {
        pattern.remove(0);
    }
    Ok(Some(Line {
        number,
        pattern,
        exception,
    }))
}
