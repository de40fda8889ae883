//! The lexer behind [`expand`](super::expand): one pass over a word, recursion only for `${name:-word}` and its like.

use super::lookup::Lookup;
use super::words::{RawWord, Words};
use super::{ExpandError, Expansion, Variables};

/// How deep `${a:-${b:-...}}` may nest. Nobody writes ten; the limit keeps hostile input off the stack.
const MAX_DEPTH: usize = 100;

/// How many bytes a word with variables may become. No program can be given more than 128 KiB in one string; a variable that is
/// set to itself twice, thirty times over, would fill any memory.
const MAX_LENGTH: usize = 1 << 20;

/// Settings of one expansion. [`Lexer::new`] gives those for instruction words.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    escape: char,
    raw_quotes: bool,
    raw_escapes: bool,
    skip_quotes: bool,
    pub(super) keep_unset: bool,
}

impl Lexer {
    /// For words of instructions: quotes are removed, unset variables are empty.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            skip_quotes: false,
            keep_unset: false,
        }
    }

    /// For the bodies of `COPY` and `ADD` heredocs: quotes are ordinary characters. Their escape character is always `\`.
    pub fn for_heredoc_body() -> Self {
        Self {
            skip_quotes: true,
            ..Self::new('\\')
        }
    }

    /// Leaves unset variables as they are written.
    #[must_use]
    pub fn keep_unset(self) -> Self {
        Self {
            keep_unset: true,
            ..self
        }
    }

    /// Keeps quotes in the result.
    #[must_use]
    pub fn raw_quotes(self) -> Self {
        Self {
            raw_quotes: true,
            ..self
        }
    }

    /// Keeps quotes and escapes in the result.
    #[must_use]
    pub fn raw(self) -> Self {
        Self {
            raw_quotes: true,
            raw_escapes: true,
            ..self
        }
    }

    /// Expands one word.
    ///
    /// # Errors
    /// As [`expand`](super::expand).
    pub fn expand(
        &self,
        word: &str,
        variables: &(impl Variables + ?Sized),
    ) -> Result<Expansion, ExpandError> {
        let mut run = Run {
            lexer: *self,
            raw_escapes: self.raw_escapes,
            input: word,
            position: 0,
            depth: 0,
            lookup: Lookup::new(variables),
        };
        match run.until(None, self.raw_escapes) {
            Ok((text, words)) => {
                let Lookup { used, missing, .. } = run.lookup;
                Ok(Expansion {
                    text,
                    words: words.into_iter().map(|word| word.text).collect(),
                    used,
                    missing,
                })
            }
            Err(reason) => Err(ExpandError {
                word: word.to_owned(),
                reason,
            }),
        }
    }

    /// Whether `word` can be expanded at all: fails only on what no values of variables can change.
    ///
    /// # Errors
    /// Fails on unterminated quotes and braces and on substitutions that do not exist.
    pub fn check(&self, word: &str) -> Result<(), ExpandError> {
        match self.keep_unset().expand(word, &super::Unset) {
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Splits `line` into words with their places; none if the line can't be lexed.
    pub(crate) fn raw_words(&self, line: &str) -> Option<Vec<RawWord>> {
        let variables = super::Unset;
        let mut run = Run {
            lexer: *self,
            raw_escapes: self.raw_escapes,
            input: line,
            position: 0,
            depth: 0,
            lookup: Lookup::new(&variables),
        };
        run.until(None, self.raw_escapes)
            .ok()
            .map(|(_, words)| words)
    }
}

/// One expansion under way.
pub(super) struct Run<'a, 'v, V: ?Sized> {
    pub(super) lexer: Lexer,
    raw_escapes: bool,
    pub(super) input: &'a str,
    pub(super) position: usize,
    depth: usize,
    pub(super) lookup: Lookup<'v, V>,
}

impl<V: Variables + ?Sized> Run<'_, '_, V> {
    pub(super) fn peek(&self) -> Option<char> {
        self.input[self.position..].chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }

    /// Reads up to `stop` (which is consumed), or to the end of the input if there is none to look for.
    pub(super) fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
    ) -> Result<(String, Vec<RawWord>), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!(
                "substitutions are nested more than {MAX_DEPTH} deep"
            ));
        }
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let result = self.until_inner(stop);
        self.raw_escapes = before;
        self.depth -= 1;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<(String, Vec<RawWord>), String> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(character) = self.peek() {
            let start = self.position;
            if stop == Some(character) {
                self.next();
                words.finish();
                return Ok((text, words.done));
            }
            match character {
                '$' => {
                    let value = self.dollar()?;
                    fits(text.len() + value.len())?;
                    let place = (start, self.position);
                    value
                        .chars()
                        .for_each(|character| words.character(character, place));
                    text.push_str(&value);
                }
                '\'' | '"' if !self.lexer.skip_quotes => {
                    let value = if character == '"' {
                        self.double_quotes()?
                    } else {
                        self.single_quotes()?
                    };
                    if value.len() > self.position - start {
                        fits(text.len() + value.len())?;
                    }
                    words.raw(&value, (start, self.position));
                    text.push_str(&value);
                }
                '<' => {
                    let length = heredoc_operator(&self.input[start..]);
                    self.position += length;
                    let operator = &self.input[start..self.position];
                    words.raw(operator, (start, self.position));
                    text.push_str(operator);
                }
                _ => self.ordinary(&mut text, &mut words),
            }
        }
        match stop {
            Some(stop) => Err(format!(
                "unexpected end of statement while looking for matching {stop}"
            )),
            None => {
                words.finish();
                Ok((text, words.done))
            }
        }
    }

    /// One character that is no quote and no `$`, or an escape with the character after it.
    fn ordinary(&mut self, text: &mut String, words: &mut Words) {
        let start = self.position;
        let Some(character) = self.next() else { return };
        if character != self.lexer.escape {
            words.character(character, (start, self.position));
            text.push(character);
            return;
        }
        if self.raw_escapes {
            words.raw(character.encode_utf8(&mut [0; 4]), (start, self.position));
            text.push(character);
        }
        // A trailing escape is dropped.
        if let Some(escaped) = self.next() {
            words.raw(escaped.encode_utf8(&mut [0; 4]), (start, self.position));
            text.push(escaped);
        }
    }

    fn single_quotes(&mut self) -> Result<String, String> {
        let start = self.position;
        self.next();
        loop {
            match self.next() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching single-quote"
                            .to_owned(),
                    );
                }
                Some('\'') if self.lexer.raw_quotes => {
                    return Ok(self.input[start..self.position].to_owned());
                }
                Some('\'') => return Ok(self.input[start + 1..self.position - 1].to_owned()),
                Some(_) => {}
            }
        }
    }

    fn double_quotes(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.next();
        if self.lexer.raw_quotes {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching double-quote"
                            .to_owned(),
                    );
                }
                Some('"') => {
                    self.next();
                    if self.lexer.raw_quotes {
                        text.push('"');
                    }
                    return Ok(text);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    fits(text.len() + value.len())?;
                    text.push_str(&value);
                }
                Some(character) => {
                    self.next();
                    self.quoted_character(character, &mut text);
                }
            }
        }
    }

    /// A character within double quotes; only `"`, `$` and the escape character itself can be escaped there.
    fn quoted_character(&mut self, character: char, text: &mut String) {
        if character != self.lexer.escape {
            text.push(character);
            return;
        }
        if self.raw_escapes {
            text.push(character);
        }
        match self.peek() {
            None => {}
            Some(escaped) if escaped == '"' || escaped == '$' || escaped == self.lexer.escape => {
                self.next();
                text.push(escaped);
            }
            Some(_) => text.push(character),
        }
    }
}

/// The length of `<<` with the blanks behind it, which belong to the word that follows, or of a `<` alone.
fn heredoc_operator(text: &str) -> usize {
    match text.strip_prefix("<<") {
        Some(rest) => text.len() - rest.trim_start_matches([' ', '\t', '\r']).len(),
        None => 1,
    }
}

/// Whether a word with variables may be that long.
pub(super) fn fits(length: usize) -> Result<(), String> {
    if length <= MAX_LENGTH {
        return Ok(());
    }
    Err(format!("the result is longer than {MAX_LENGTH} bytes"))
}
