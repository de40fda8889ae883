//! Patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: only `*` and `?` are special, and neither takes a line feed.

use super::pattern::Token::{Any, Character, Star};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Character(char),
    Any,
    Star,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
    greedy: bool,
}

impl Pattern {
    /// Reads a pattern. `\*`, `\?` and `\\` stand for themselves; before `}` and `/`, which had to be escaped to get here, the
    /// backslash is dropped.
    pub fn parse(pattern: &str, greedy: bool) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '*' if tokens.last() == Some(&Star) => {}
                '*' => tokens.push(Star),
                '?' => tokens.push(Any),
                '\\' if matches!(characters.peek(), Some('}' | '/')) => {}
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => tokens.push(Character(escaped)),
                    other => {
                        let other = other.unwrap_or(char::REPLACEMENT_CHARACTER);
                        return Err(format!(
                            "invalid pattern ({pattern}) in substitution: invalid escape '\\{other}'"
                        ));
                    }
                },
                other => tokens.push(Character(other)),
            }
        }
        Ok(Self { tokens, greedy })
    }

    /// `value` without the match at its start.
    pub fn trim_start(&self, value: &str) -> String {
        let text: Vec<char> = value.chars().collect();
        let taken = Matcher::new(&self.tokens, self.greedy, &text)
            .end_of_match(0)
            .unwrap_or(0);
        text[taken..].iter().collect()
    }

    /// `value` without the match at its end: the same on everything reversed.
    pub fn trim_end(&self, value: &str) -> String {
        let text: Vec<char> = value.chars().rev().collect();
        let tokens: Vec<Token> = self.tokens.iter().rev().copied().collect();
        let taken = Matcher::new(&tokens, self.greedy, &text)
            .end_of_match(0)
            .unwrap_or(0);
        text[taken..].iter().rev().collect()
    }

    /// `value` with its first match replaced by `replacement` as it is.
    pub fn replace_first(&self, value: &str, replacement: &str) -> String {
        let text: Vec<char> = value.chars().collect();
        let matcher = Matcher::new(&self.tokens, self.greedy, &text);
        match (0..=text.len()).find_map(|start| matcher.end_of_match(start).map(|end| (start, end)))
        {
            None => value.to_owned(),
            Some((start, end)) => text[..start]
                .iter()
                .copied()
                .chain(replacement.chars())
                .chain(text[end..].iter().copied())
                .collect(),
        }
    }

    /// Whether matching against `value` takes a reasonable amount of memory.
    pub fn affords(&self, value: &str) -> Result<(), String> {
        if self.tokens.len().saturating_mul(value.len() + 1) <= MAX_PLACES {
            return Ok(());
        }
        Err("the pattern and the value are too long for each other".to_owned())
    }

    /// `value` with all matches replaced. Here, and only here, `$0`, `${name}` and `$$` in the replacement are template references, as
    /// in the reference: `$0` is the match, other names are empty, `$$` is a dollar sign. `fits` refuses a result of some length.
    pub fn replace_all(
        &self,
        value: &str,
        replacement: &str,
        fits: fn(usize) -> Result<(), String>,
    ) -> Result<String, String> {
        let text: Vec<char> = value.chars().collect();
        let matcher = Matcher::new(&self.tokens, self.greedy, &text);
        let (mut result, mut copied, mut start, mut last_end) = (String::new(), 0, 0, None);
        while start <= text.len() {
            let Some(end) = matcher.end_of_match(start) else {
                start += 1;
                continue;
            };
            // An empty match right behind the previous match does not count.
            if end > start || last_end != Some(start) {
                result.extend(&text[copied..start]);
                push_template(&mut result, replacement, &text[start..end], fits)?;
                (copied, last_end) = (end, Some(end));
            }
            start = if end > start { end } else { start + 1 };
        }
        result.extend(&text[copied..]);
        Ok(result)
    }
}

/// Most places that a [`Matcher`] remembers: a pattern of a hundred characters against a value of half a megabyte.
const MAX_PLACES: usize = 1 << 26;

/// The places where each rest of a pattern can match: a table filled from the end, so that no input makes matching slow.
struct Matcher<'a> {
    tokens: &'a [Token],
    greedy: bool,
    text: &'a [char],
    /// `possible[token * (text.len() + 1) + place]`: whether the tokens from `token` on match some text from `place` on.
    possible: Vec<bool>,
}

impl<'a> Matcher<'a> {
    fn new(tokens: &'a [Token], greedy: bool, text: &'a [char]) -> Self {
        let width = text.len() + 1;
        let mut possible = vec![false; width * (tokens.len() + 1)];
        possible[width * tokens.len()..].fill(true);
        for (row, token) in tokens.iter().enumerate().rev() {
            for place in (0..width).rev() {
                let next = |place: usize| possible[(row + 1) * width + place];
                possible[row * width + place] = match token {
                    Star => {
                        next(place)
                            || (place < text.len()
                                && text[place] != '\n'
                                && possible[row * width + place + 1])
                    }
                    Any => place < text.len() && text[place] != '\n' && next(place + 1),
                    Character(character) => {
                        place < text.len() && text[place] == *character && next(place + 1)
                    }
                };
            }
        }
        Self {
            tokens,
            greedy,
            text,
            possible,
        }
    }

    fn is_possible(&self, row: usize, place: usize) -> bool {
        self.possible[row * (self.text.len() + 1) + place]
    }

    /// Where the match that begins at `start` ends. Each star takes as much (greedy) or as little as lets the rest match.
    fn end_of_match(&self, start: usize) -> Option<usize> {
        if !self.is_possible(0, start) {
            return None;
        }
        let mut place = start;
        for (row, token) in self.tokens.iter().enumerate() {
            if *token != Star {
                place += 1;
                continue;
            }
            let limit = self.text[place..]
                .iter()
                .position(|character| *character == '\n')
                .map_or(self.text.len(), |offset| place + offset);
            let fits = |place: &usize| self.is_possible(row + 1, *place);
            let found = if self.greedy {
                (place..=limit).rev().find(fits)
            } else {
                (place..=limit).find(fits)
            };
            place = found?;
        }
        Some(place)
    }
}

fn push_template(
    result: &mut String,
    template: &str,
    matched: &[char],
    fits: fn(usize) -> Result<(), String>,
) -> Result<(), String> {
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match rest.strip_prefix('{') {
            Some(braced) => braced
                .find('}')
                .map_or(("", rest), |end| (&braced[..end], &braced[end + 1..])),
            None => rest.split_at(
                rest.find(|character: char| !is_template_name(character))
                    .unwrap_or(rest.len()),
            ),
        };
        if name.is_empty() || !name.chars().all(is_template_name) {
            result.push('$');
            continue;
        }
        if name.bytes().all(|digit| digit == b'0') && name.len() == 1 {
            result.extend(matched);
            fits(result.len())?;
        }
        rest = after;
    }
    result.push_str(rest);
    fits(result.len())
}

fn is_template_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
