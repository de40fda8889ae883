//! Places in a text: byte ranges, line ranges, and the way from one to the other.

use serde::Serialize;

/// A range of bytes of the file, on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range from `start` up to but not including `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty range at `offset`.
    pub fn at(offset: usize) -> Self {
        Self {
            start: offset,
            end: offset,
        }
    }

    /// Whether the range holds no byte.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// The bytes of `text` in this range; empty if the range is not of that text.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// Lines of the file, counted from 1, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Lines {
    /// First line.
    pub first: usize,
    /// Last line.
    pub last: usize,
}

/// Where each line of a text starts, to turn byte offsets into line and column.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<usize>,
    length: usize,
}

impl LineIndex {
    /// Reads the line starts of `text`.
    pub fn new(text: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(offset, _)| offset + 1),
        );
        Self {
            starts,
            length: text.len(),
        }
    }

    /// The line that holds `offset`, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Line and column of `offset`, both counted from 1, the column in characters of `text`.
    pub fn position(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.line(offset.min(self.length));
        let start = self.starts[line - 1];
        let column = text
            .get(start..offset.min(self.length))
            .map_or(0, |before| before.chars().count());
        (line, column + 1)
    }

    /// The lines that `span` touches.
    pub fn lines(&self, span: Span) -> Lines {
        let first = self.line(span.start);
        Lines {
            first,
            last: self.line(span.end.saturating_sub(1)).max(first),
        }
    }

    /// The byte range of a line counted from 1, without its line feed.
    pub fn span_of_line(&self, line: usize) -> Option<Span> {
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let end = self.starts.get(line).map_or(self.length, |next| next - 1);
        Some(Span { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns() {
        let text = "a\nbé c\n";
        let index = LineIndex::new(text);
        assert_eq!(index.position(text, 0), (1, 1));
        assert_eq!(index.position(text, 2), (2, 1));
        assert_eq!(index.position(text, 5), (2, 3));
        assert_eq!(index.position(text, text.len()), (3, 1));
        assert_eq!(index.lines(Span::new(0, 3)), Lines { first: 1, last: 2 });
        assert_eq!(index.span_of_line(2), Some(Span::new(2, 7)));
    }
}
