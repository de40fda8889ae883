//! A logical line and the way from its ranges to words with spans.

use std::ops::Range;

use super::source_map::SourceMap;
use crate::ast::Word;
use crate::span::Span;

/// A logical line that is being taken apart. All ranges are ranges of its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub text: &'a str,
    map: &'a SourceMap,
    pub escape: char,
}

impl<'a> Line<'a> {
    pub fn new(text: &'a str, map: &'a SourceMap, escape: char) -> Self {
        Self { text, map, escape }
    }

    /// The range without blanks at both ends of the whole line.
    pub fn trimmed(&self) -> Range<usize> {
        self.trim(0..self.text.len())
    }

    /// `range` without blanks at its ends.
    pub fn trim(&self, range: Range<usize>) -> Range<usize> {
        let text = &self.text[range.clone()];
        let start = range.start + text.len() - text.trim_start().len();
        start..start + text.trim().len()
    }

    pub fn get(&self, range: &Range<usize>) -> &'a str {
        &self.text[range.clone()]
    }

    /// Where `range` stands in the file.
    pub fn span(&self, range: Range<usize>) -> Span {
        self.map.span(range.start, range.end)
    }

    /// The text of `range` with its place.
    pub fn word(&self, range: Range<usize>) -> Word {
        Word {
            text: self.get(&range).to_owned(),
            span: self.span(range),
        }
    }
}

/// `inner`, a range of the text from `offset` on, as a range of the whole text.
pub(super) fn shift(inner: &Range<usize>, offset: usize) -> Range<usize> {
    inner.start + offset..inner.end + offset
}
