//! From a logical line back to the file.

use crate::span::Span;

/// Where the pieces of a logical line come from.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceMap {
    /// Offset in the logical line and in the file where each piece begins.
    pieces: Vec<(usize, usize)>,
}

impl SourceMap {
    /// Notes that the text from `logical` on comes from `file` on.
    pub fn push(&mut self, logical: usize, file: usize) {
        match self.pieces.last_mut() {
            // The piece before was empty.
            Some(last) if last.0 == logical => *last = (logical, file),
            _ => self.pieces.push((logical, file)),
        }
    }

    /// The range of the file that a range of the logical line comes from, removed continuations inside it included.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let first = self.offset(start);
        if start >= end {
            return Span::at(first);
        }
        Span::new(first, self.offset(end - 1) + 1)
    }

    fn offset(&self, logical: usize) -> usize {
        let index = self
            .pieces
            .partition_point(|(start, _)| *start <= logical)
            .saturating_sub(1);
        self.pieces
            .get(index)
            .map_or(0, |(start, file)| file + logical.saturating_sub(*start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_removed_continuations() {
        let mut map = SourceMap::default();
        map.push(0, 10);
        map.push(4, 30);
        assert_eq!(map.span(0, 4), Span::new(10, 14));
        assert_eq!(map.span(2, 6), Span::new(12, 32));
        assert_eq!(map.span(4, 4), Span::at(30));
    }
}
