//! The lexer behind [`expand`](super::expand): one pass over a word, recursion only for `${name:-word}` and its like.

use std::collections::BTreeSet;

use super::pattern::Pattern;
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
    keep_unset: bool,
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

/// The variables and which of them were asked for.
struct Lookup<'a, V: ?Sized> {
    variables: &'a V,
    used: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl<'a, V: Variables + ?Sized> Lookup<'a, V> {
    fn new(variables: &'a V) -> Self {
        Self {
            variables,
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
        }
    }

    fn get(&mut self, name: &str) -> Option<&'a str> {
        let value = self.variables.value(name);
        let seen = if value.is_some() {
            &mut self.used
        } else {
            &mut self.missing
        };
        if !seen.contains(name) {
            seen.insert(name.to_owned());
        }
        value
    }
}

struct Run<'a, 'v, V: ?Sized> {
    lexer: Lexer,
    raw_escapes: bool,
    input: &'a str,
    position: usize,
    depth: usize,
    lookup: Lookup<'v, V>,
}

impl<V: Variables + ?Sized> Run<'_, '_, V> {
    fn peek(&self) -> Option<char> {
        self.input[self.position..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }

    /// Reads up to `stop` (which is consumed), or to the end of the input if there is none to look for.
    fn until(
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

    fn dollar(&mut self) -> Result<String, String> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.lookup.get(&name) {
                None if self.lexer.keep_unset => format!("${name}"),
                value => value.unwrap_or_default().to_owned(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err(MISSING_BRACE.to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err(MISSING_BRACE.to_owned()),
            Some('}') => Ok(match self.lookup.get(&name) {
                None if self.lexer.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default().to_owned(),
            }),
            Some(':') => match self.next() {
                None => Err(MISSING_BRACE.to_owned()),
                Some(operator) => self.modifier(&name, operator, true),
            },
            Some(operator @ ('+' | '-' | '?' | '#' | '%')) => self.modifier(&name, operator, false),
            Some('/') => self.replacement(&name),
            Some(other) => Err(unsupported(&other.to_string())),
        }
    }

    /// `${name-word}` and its like, from the word on. With a colon an empty value counts as unset.
    fn modifier(&mut self, name: &str, operator: char, colon: bool) -> Result<String, String> {
        let written = if colon {
            format!(":{operator}")
        } else {
            operator.to_string()
        };
        let word = self
            .until(Some('}'), matches!(operator, '#' | '%'))
            .map_err(|reason| self.or_missing(reason, MISSING_BRACE))?
            .0;
        let value = self.lookup.get(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}{written}{word}}}"));
        }
        let given = value.filter(|value| !(colon && value.is_empty()));
        match operator {
            '-' => Ok(given.map_or(word, ToOwned::to_owned)),
            '+' => Ok(given.map_or_else(String::new, |_| word)),
            '?' => given.map(ToOwned::to_owned).ok_or_else(|| {
                let default = if value.is_none() {
                    "is not allowed to be unset"
                } else {
                    "is not allowed to be empty"
                };
                format!("{name}: {}", if word.is_empty() { default } else { &word })
            }),
            '#' | '%' => {
                let (greedy, pattern) = word
                    .strip_prefix(operator)
                    .map_or((false, word.as_str()), |rest| (true, rest));
                let pattern = Pattern::parse(pattern, greedy)?;
                let value = value.unwrap_or_default();
                pattern.affords(value)?;
                Ok(if operator == '#' {
                    pattern.trim_start(value)
                } else {
                    pattern.trim_end(value)
                })
            }
            _ => Err(unsupported(&written)),
        }
    }

    /// `${name/pattern/replacement}` from the first slash on.
    fn replacement(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self
            .until(Some('/'), true)
            .map_err(|reason| self.or_missing(reason, "syntax error: missing '/' in ${}"))?
            .0;
        let replacement = self
            .until(Some('}'), true)
            .map_err(|reason| self.or_missing(reason, MISSING_BRACE))?
            .0;
        let value = self.lookup.get(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let pattern = Pattern::parse(&pattern, true)?;
        let value = value.unwrap_or_default();
        pattern.affords(value)?;
        if all {
            pattern.replace_all(value, &replacement, fits)
        } else {
            Ok(pattern.replace_first(value, &replacement))
        }
    }

    /// At the end of the input whatever went wrong is the missing end of the substitution.
    fn or_missing(&self, reason: String, missing: &str) -> String {
        if self.position == self.input.len() {
            missing.to_owned()
        } else {
            reason
        }
    }

    /// A variable's name: digits, or one special character, or letters, digits and `_`.
    fn name(&mut self) -> String {
        let rest = &self.input[self.position..];
        let length = match rest.chars().next() {
            Some(first) if first.is_numeric() => length_while(rest, char::is_numeric),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => length_while(rest, |character| {
                character.is_alphanumeric() || character == '_'
            }),
        };
        self.position += length;
        rest[..length].to_owned()
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
fn fits(length: usize) -> Result<(), String> {
    if length <= MAX_LENGTH {
        return Ok(());
    }
    Err(format!("the result is longer than {MAX_LENGTH} bytes"))
}

const MISSING_BRACE: &str = "syntax error: missing '}'";

fn unsupported(modifier: &str) -> String {
    format!("unsupported modifier ({modifier}) in substitution")
}

fn length_while(text: &str, mut holds: impl FnMut(char) -> bool) -> usize {
    text.find(|character| !holds(character))
        .unwrap_or(text.len())
}
