//! Whether a text can be an image's name: `[domain/]path[:tag][@digest]`.

/// Whether `text` is a well-formed reference after Docker's normalisation.
pub(super) fn is_valid(text: &str) -> bool {
    let (name, digest) = text
        .split_once('@')
        .map_or((text, None), |(name, digest)| (name, Some(digest)));
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return false;
    }
    // A colon behind the last slash begins a tag; one in front of it belongs to a port.
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return false;
    }
    let path = match name.split_once('/') {
        Some((domain, path))
            if domain.contains(['.', ':'])
                || domain == "localhost"
                || domain.chars().any(char::is_uppercase) =>
        {
            if !is_domain(domain) {
                return false;
            }
            path
        }
        _ => name,
    };
    !path.is_empty() && path.split('/').all(is_component)
}

fn is_tag(tag: &str) -> bool {
    let first = |character: char| character.is_ascii_alphanumeric() || character == '_';
    tag.len() <= 128
        && tag.starts_with(first)
        && tag
            .chars()
            .all(|character| first(character) || matches!(character, '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    !algorithm.is_empty()
        && algorithm
            .chars()
            .all(|character| character.is_ascii_alphanumeric())
        && hex.len() >= 32
        && hex.chars().all(|digit| digit.is_ascii_hexdigit())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !domain.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || character == '-')
    };
    let is_host = host.starts_with('[') && host.ends_with(']') || host.split('.').all(is_label);
    is_host && port.is_none_or(is_port)
}

/// Lower-case letters and digits, separated by one dot, one or two underscores, or dashes.
fn is_component(component: &str) -> bool {
    let ordinary = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    component.starts_with(ordinary)
        && component.ends_with(ordinary)
        && component.split(ordinary).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn names() {
        for name in [
            "alpine",
            "alpine:3.20",
            "library/alpine",
            "localhost:5000/a/b:x",
            "ghcr.io/o/n@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "a__b-c.d",
            "[::1]:5000/x",
        ] {
            assert!(is_valid(name), "{name}");
        }
        for name in [
            "",
            ":tag",
            "Alpine",
            "alpine:",
            "a//b",
            "alpine:a b",
            "a___b",
            "-a",
            "a@sha256:12",
            "/a",
            "a:b:c",
        ] {
            assert!(!is_valid(name), "{name}");
        }
    }
}
