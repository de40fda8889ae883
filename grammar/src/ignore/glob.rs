//! One pattern, compiled to tokens. Ordinary patterns are matched without backtracking beyond the last star, the rare odd ones with a
//! table, so that no pattern is slow.

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Glob {
    /// No wildcard: the path itself.
    Exact(Vec<u8>),
    /// `x/**`: everything that starts so.
    Prefix(Vec<u8>),
    /// `**/x`, `**x`: everything that ends so; behind `**/` also the path without its slash.
    Suffix(Vec<u8>),
    /// Anything else.
    Tokens(Vec<Token>),
    /// Tokens among which a star may have to give way to an earlier one.
    Odd(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// These bytes.
    Literal(Vec<u8>),
    /// `?`: one character that is no slash.
    Any,
    /// `*`: any number of characters that are no slashes.
    Star,
    /// `**/` or `**` before something: nothing, or any text that ends with a slash.
    Directories,
    /// `**` at the end: anything.
    Rest,
    /// `[...]`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// Compiles a cleaned pattern; none if it is malformed.
    pub fn compile(pattern: &str) -> Option<Self> {
        let tokens = tokens(pattern)?;
        let literal = |tokens: &[Token]| match tokens {
            [] => Some(Vec::new()),
            [Token::Literal(bytes)] => Some(bytes.clone()),
            _ => None,
        };
        let escaped = pattern.contains('\\');
        if let Some(bytes) = literal(&tokens) {
            return Some(Self::Exact(bytes));
        }
        match tokens.as_slice() {
            [front @ .., Token::Rest]
                if !front.is_empty() && literal(front).is_some() && !escaped =>
            {
                return literal(front).map(Self::Prefix);
            }
            [Token::Rest] => return Some(Self::Suffix(Vec::new())),
            [Token::Directories, rest @ ..] if literal(rest).is_some() && !escaped => {
                return Some(Self::Suffix(pattern.as_bytes()[2..].to_vec()));
            }
            _ => {}
        }
        Some(if is_odd(&tokens) {
            Self::Odd(tokens)
        } else {
            Self::Tokens(tokens)
        })
    }

    /// Whether the pattern matches exactly this path.
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(bytes) => path == bytes,
            Self::Prefix(prefix) => path.starts_with(prefix),
            Self::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|rest| path == rest)
            }
            Self::Tokens(tokens) => matches_tokens(tokens, path),
            Self::Odd(tokens) => matches_odd(tokens, path),
        }
    }

    /// Whether matching by the table gives the same.
    pub fn is_consistent(&self, path: &[u8]) -> bool {
        match self {
            Self::Tokens(tokens) => matches_tokens(tokens, path) == matches_odd(tokens, path),
            _ => true,
        }
    }

    /// Whether the pattern can match something below the directory `path`. May say yes too often.
    pub fn may_match_below(&self, path: &[u8]) -> bool {
        let literal: &[u8] = match self {
            Self::Suffix(_) => return true,
            Self::Exact(bytes) | Self::Prefix(bytes) => bytes,
            Self::Tokens(tokens) | Self::Odd(tokens) => match tokens.first() {
                Some(Token::Literal(bytes)) => bytes,
                _ => return true,
            },
        };
        // One of the two must begin with the other; an exact pattern must also go on below the directory.
        let shared = literal.len().min(path.len());
        let goes_on = !matches!(self, Self::Exact(_))
            || (literal.len() > path.len() && literal[path.len()] == b'/');
        literal[..shared] == path[..shared] && goes_on
    }
}

/// Whether a `**` begins within a component, or a bracket can take a slash: then the last open star is not always the one to widen.
fn is_odd(tokens: &[Token]) -> bool {
    let within = |pair: &[Token]| {
        pair[1] == Token::Directories
            && !matches!(&pair[0], Token::Literal(bytes) if bytes.ends_with(b"/"))
    };
    let takes_slash =
        |token: &Token| matches!(token, Token::Class { .. }) && single(token, b"/", 0).is_some();
    tokens.windows(2).any(within) || tokens.iter().any(takes_slash)
}

/// Splits a pattern into tokens; none where Go's `filepath.Match` reports a malformed pattern.
fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.peek() == Some(&'*') => {
                characters.next();
                if characters.peek() == Some(&'/') {
                    characters.next();
                }
                tokens.push(if characters.peek().is_none() {
                    Token::Rest
                } else {
                    Token::Directories
                });
            }
            '*' => tokens.push(Token::Star),
            '?' => tokens.push(Token::Any),
            '[' => tokens.push(class(&mut characters)?),
            '\\' => push_literal(&mut tokens, characters.next()?),
            other => push_literal(&mut tokens, other),
        }
    }
    Some(tokens)
}

fn push_literal(tokens: &mut Vec<Token>, character: char) {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes();
    match tokens.last_mut() {
        Some(Token::Literal(literal)) => literal.extend_from_slice(bytes),
        _ => tokens.push(Token::Literal(bytes.to_vec())),
    }
}

/// The rest of a bracket expression: `^` negates, `a-z` is a range, `\` escapes, at least one range.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = class_character(characters)?;
        let high = if characters.next_if_eq(&'-').is_some() {
            class_character(characters)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn class_character(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match characters.next()? {
        '-' | ']' => None,
        '\\' => characters.next(),
        other => Some(other),
    }
}

/// Matches tokens against a path. Two kinds of stars can be open: the last `*`, which must not take a slash, and the last `**`.
fn matches_tokens(tokens: &[Token], path: &[u8]) -> bool {
    let (mut token, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut directories: Option<(usize, usize)> = None;
    loop {
        let step = match tokens.get(token) {
            None if place == path.len() => return true,
            None => None,
            Some(Token::Rest) => return true,
            Some(Token::Star) => {
                star = Some((token + 1, place));
                Some(0)
            }
            Some(Token::Directories) => {
                // It begins a component, so no earlier star can end elsewhere.
                (directories, star) = (Some((token + 1, place)), None);
                Some(0)
            }
            Some(Token::Literal(bytes)) => path[place..].starts_with(bytes).then_some(bytes.len()),
            Some(token @ (Token::Any | Token::Class { .. })) => single(token, path, place),
        };
        if let Some(length) = step {
            token += 1;
            place += length;
            continue;
        }
        // Let the nearest open star take one character more, else the `**` one directory more.
        if let Some((after, from)) = star
            && let Some((taken, length)) = character(path, from)
            && taken != Some('/')
        {
            star = Some((after, from + length));
            (token, place) = (after, from + length);
        } else if let Some((after, from)) = directories
            && let Some(slash) = path[from..].iter().position(|byte| *byte == b'/')
        {
            (directories, star) = (Some((after, from + slash + 1)), None);
            (token, place) = (after, from + slash + 1);
        } else {
            return false;
        }
    }
}

/// Matches tokens against a path by a table of what each rest of the pattern can match, filled from the end.
fn matches_odd(tokens: &[Token], path: &[u8]) -> bool {
    let width = path.len() + 1;
    let mut after: Vec<bool> = (0..width).map(|place| place == path.len()).collect();
    for token in tokens.iter().rev() {
        let mut here = vec![false; width];
        // Whether `after` holds anywhere behind a slash at or after the place.
        let mut behind_slash = false;
        for place in (0..width).rev() {
            if path.get(place) == Some(&b'/') {
                behind_slash |= after[place + 1];
            }
            here[place] = match token {
                Token::Rest => true,
                Token::Directories => after[place] || behind_slash,
                Token::Literal(bytes) => {
                    path[place..].starts_with(bytes) && after[place + bytes.len()]
                }
                Token::Star => {
                    after[place]
                        || (path.get(place).is_some_and(|byte| *byte != b'/') && here[place + 1])
                }
                Token::Any | Token::Class { .. } => {
                    single(token, path, place).is_some_and(|length| after[place + length])
                }
            };
        }
        after = here;
    }
    after[0]
}

/// The length of the character at `place` if `token` takes it.
fn single(token: &Token, path: &[u8], place: usize) -> Option<usize> {
    let (character, length) = character(path, place)?;
    let takes = match token {
        Token::Class { negated, ranges } => {
            let within = character.is_some_and(|character| {
                ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&character))
            });
            within != *negated
        }
        _ => character != Some('/'),
    };
    takes.then_some(length)
}

/// The character at `place` and its length; a byte that is no UTF-8 counts as one unknown character.
fn character(path: &[u8], place: usize) -> Option<(Option<char>, usize)> {
    let first = *path.get(place)?;
    if first.is_ascii() {
        return Some((Some(char::from(first)), 1));
    }
    let end = path.len().min(place + 4);
    let valid = match std::str::from_utf8(&path[place..end]) {
        Ok(text) => text,
        Err(error) => {
            std::str::from_utf8(&path[place..place + error.valid_up_to()]).unwrap_or_default()
        }
    };
    Some(valid.chars().next().map_or((None, 1), |character| {
        (Some(character), character.len_utf8())
    }))
}
