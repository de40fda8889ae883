//! The grammar of references (distribution/reference, `reference.go`), one function for each production.

/// Characters of the longest path (`RepositoryNameTotalLengthMax`).
pub(super) const MAX_PATH: usize = 255;
/// Characters of the longest tag.
const MAX_TAG: usize = 128;
/// Digits of the shortest digest.
const MIN_DIGEST_DIGITS: usize = 32;

/// Splits `name[:tag][@digest]`; `None` when tag or digest are malformed.
pub(super) fn split_suffix(text: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) if is_digest(digest) => (text, Some(digest)),
        Some(_) => return None,
        None => (text, None),
    };
    match text.split_once(':') {
        Some((name, tag)) if is_tag(tag) => Some((name, Some(tag), digest)),
        Some(_) => None,
        None => Some((text, None, digest)),
    }
}

/// Exactly 64 lower-case hexadecimal digits: an image or container identifier, never a name.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// `[\w][\w.-]{0,127}`
pub(super) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = text.bytes();
    text.len() <= MAX_TAG
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

/// `host[:port]`
pub(super) fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else {
                return false;
            };
            let valid =
                !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            if !valid {
                return false;
            }
            match after.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if after.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    host.is_none_or(|host| host.split('.').all(is_domain_component))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Letters, digits and inner hyphens.
fn is_domain_component(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Components joined by slashes.
pub(super) fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// `[a-z0-9]+` parts joined by a dot, one or two underscores, or any number of hyphens.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let part = rest.iter().take_while(|b| alphanumeric(b)).count();
        if part == 0 {
            return false;
        }
        rest = &rest[part..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|b| !alphanumeric(b)).count();
        let valid = match &rest[..separator] {
            b"." | b"_" | b"__" => true,
            hyphens => hyphens.iter().all(|b| *b == b'-'),
        };
        if !valid {
            return false;
        }
        rest = &rest[separator..];
    }
}

/// The loose form that the grammar accepts; which algorithms exist is decided later.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else {
        return false;
    };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(part)
        && digits.len() >= MIN_DIGEST_DIGITS
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
}
