//! Go's `filepath.Match`, the rule for wildcards in the sources of `COPY` and `ADD`, on bytes.
//!
//! `*` matches anything but `/`, `?` one character but `/`, `[a-z]` and `[^a-z]` one character of a set, `\` takes
//! the meaning from what follows. A path is matched component by component, so nothing crosses a `/`.

/// The pattern is not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Tells whether a path component needs matching instead of looking up. An escaped character alone needs none.
pub(crate) fn has_wildcard(text: &[u8]) -> bool {
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => {
                rest.next();
            }
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Matches a whole path, or anything with slashes, component by component.
pub fn path_matches(pattern: &str, path: &str) -> Result<bool, BadPattern> {
    let [patterns, names] = [pattern, path].map(|text| text.split('/').collect::<Vec<_>>());
    let mut all = patterns.len() == names.len();
    for (position, pattern) in patterns.iter().enumerate() {
        let name = names.get(position).copied().unwrap_or_default();
        all &= matches(pattern.as_bytes(), name.as_bytes())?;
    }
    Ok(all)
}

/// Matches one component, without `/`, against a pattern.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    let pattern = tokens(pattern)?;
    let name = characters(name);
    Ok(matches_tokens(&pattern, &name))
}

#[derive(Debug)]
enum Token {
    Any,
    One,
    Literal(u32),
    Set {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
}

/// Bytes that are not UTF-8 stand for themselves, above every Unicode character.
const RAW_BYTE: u32 = 0x11_0000;

fn characters(bytes: &[u8]) -> Vec<u32> {
    let mut found = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        found.extend(chunk.valid().chars().map(u32::from));
        found.extend(
            chunk
                .invalid()
                .iter()
                .map(|byte| RAW_BYTE + u32::from(*byte)),
        );
    }
    found
}

fn tokens(pattern: &[u8]) -> Result<Vec<Token>, BadPattern> {
    let mut rest = characters(pattern).into_iter().peekable();
    let mut found = Vec::new();
    while let Some(character) = rest.next() {
        found.push(match char::from_u32(character) {
            Some('*') => Token::Any,
            Some('?') => Token::One,
            Some('[') => set(&mut rest)?,
            Some('\\') => Token::Literal(rest.next().ok_or(BadPattern)?),
            _ => Token::Literal(character),
        });
    }
    Ok(found)
}

fn set(rest: &mut std::iter::Peekable<impl Iterator<Item = u32>>) -> Result<Token, BadPattern> {
    let is = |character: Option<&u32>, wanted: char| character == Some(&u32::from(wanted));
    let negated = is(rest.peek(), '^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        if is(rest.peek(), ']') && !ranges.is_empty() {
            rest.next();
            return Ok(Token::Set { negated, ranges });
        }
        let low = set_member(rest)?;
        let high = if is(rest.peek(), '-') {
            rest.next();
            set_member(rest)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn set_member(rest: &mut impl Iterator<Item = u32>) -> Result<u32, BadPattern> {
    let character = rest.next().ok_or(BadPattern)?;
    match char::from_u32(character) {
        Some('-' | ']') => Err(BadPattern),
        Some('\\') => rest.next().ok_or(BadPattern),
        _ => Ok(character),
    }
}

/// The usual two-pointer match: on a mismatch the last `*` takes one character more.
fn matches_tokens(pattern: &[Token], name: &[u32]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(Token::Any) => {
                star = Some((at, from));
                at += 1;
                continue;
            }
            Some(token) if token.takes(name[from]) => {
                at += 1;
                from += 1;
                continue;
            }
            _ => {}
        }
        let Some((star_at, star_from)) = star else {
            return false;
        };
        star = Some((star_at, star_from + 1));
        at = star_at + 1;
        from = star_from + 1;
    }
    pattern[at..]
        .iter()
        .all(|token| matches!(token, Token::Any))
}

impl Token {
    fn takes(&self, character: u32) -> bool {
        match self {
            Self::Any => false,
            Self::One => character != u32::from('/'),
            Self::Literal(own) => *own == character,
            Self::Set { negated, ranges } => {
                *negated
                    != ranges
                        .iter()
                        .any(|(low, high)| (*low..=*high).contains(&character))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "a", Ok(true)),
            ("a*b*c*d*e*", "axbxcxdxexxx", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Ok(false)),
            ("ab[c]", "abc", Ok(true)),
            ("ab[b-d]", "abc", Ok(true)),
            ("ab[e-g]", "abc", Ok(false)),
            ("ab[^c]", "abc", Ok(false)),
            ("ab[^e-g]", "abc", Ok(true)),
            ("a\\*b", "a*b", Ok(true)),
            ("a\\*b", "ab", Ok(false)),
            ("a?b", "a☺b", Ok(true)),
            ("a[^a]b", "a☺b", Ok(true)),
            ("[a-ζ]*", "α", Ok(true)),
            ("[\\]a]", "]", Ok(true)),
            ("[\\-x]", "-", Ok(true)),
            ("[x\\-]", "z", Ok(false)),
            ("[]a]", "]", Err(BadPattern)),
            ("[-]", "-", Err(BadPattern)),
            ("[x-]", "x", Err(BadPattern)),
            ("[-x]", "x", Err(BadPattern)),
            ("[", "a", Err(BadPattern)),
            ("[^", "a", Err(BadPattern)),
            ("[^bc", "a", Err(BadPattern)),
            ("a[", "ab", Err(BadPattern)),
            ("\\", "a", Err(BadPattern)),
            ("*x", "xxx", Ok(true)),
            ("", "", Ok(true)),
            ("", "x", Ok(false)),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} against {name}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_text_match_themselves() {
        assert_eq!(matches(b"a?\xfe", b"a\xff\xfe"), Ok(true));
        assert_eq!(matches(b"\xff", b"\xfe"), Ok(false));
    }
}
