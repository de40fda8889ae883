//! Splitting at blanks while a word is expanded.

/// A word found by [`Lexer::raw_words`] and where it starts and ends in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawWord {
    pub text: String,
    pub start: usize,
    pub end: usize,
}

/// The words under way while the text as a whole is collected too.
#[derive(Default)]
pub(super) struct Words {
    /// Those that are complete.
    pub done: Vec<RawWord>,
    current: String,
    start: Option<usize>,
    end: usize,
}

impl Words {
    /// A character that separates words if it is a blank.
    pub fn character(&mut self, character: char, place: (usize, usize)) {
        if !character.is_whitespace() {
            self.raw(character.encode_utf8(&mut [0; 4]), place);
        } else if !self.current.is_empty() {
            self.finish();
        }
    }

    /// Text that never separates words.
    pub fn raw(&mut self, text: &str, (start, end): (usize, usize)) {
        self.current.push_str(text);
        self.start.get_or_insert(start);
        self.end = end;
    }

    /// Ends the word under way, if there is one.
    pub fn finish(&mut self) {
        let text = std::mem::take(&mut self.current);
        let start = self.start.take().unwrap_or(self.end);
        if !text.is_empty() {
            self.done.push(RawWord {
                text,
                start,
                end: self.end,
            });
        }
    }
}
