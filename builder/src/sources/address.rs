//! Sources of `ADD` that are not paths: addresses of files and of repositories.

/// What a source names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A path in the context.
    Path,
    /// A file on a web server.
    Url,
    /// A git repository.
    Git,
}

/// Tells what a source names.
pub(crate) fn kind(source: &str) -> Kind {
    let lower = source.to_ascii_lowercase();
    let is_web = lower.starts_with("http://") || lower.starts_with("https://");
    let path = source.split(['?', '#']).next().unwrap_or(source);
    let is_repository = path.ends_with(".git");
    if is_web {
        return if is_repository { Kind::Git } else { Kind::Url };
    }
    let is_git_scheme = lower.starts_with("git://") || lower.starts_with("ssh://");
    if is_git_scheme || is_scp(path) {
        Kind::Git
    } else {
        Kind::Path
    }
}

/// `user@host:path`, the short form that git takes.
fn is_scp(source: &str) -> bool {
    let Some((front, path)) = source.split_once(':') else {
        return false;
    };
    let Some((user, host)) = front.split_once('@') else {
        return false;
    };
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    is_name(user) && is_name(host) && !path.is_empty()
}

/// An address as it may be shown to everybody: without the password, or the token, in front of its host.
pub(crate) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host))
            if user.contains(':') || scheme.to_ascii_lowercase().starts_with("http") =>
        {
            format!("{scheme}://xxxxx@{host}{}", &rest[end..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_by_their_look() {
        for (source, expected) in [
            ("a/b", Kind::Path),
            ("https://example.org/x.tar.gz", Kind::Url),
            ("HTTP://example.org/x", Kind::Url),
            ("https://example.org/x.git", Kind::Git),
            ("https://example.org/x.git#main:sub", Kind::Git),
            ("https://example.org/x.git?ref=main", Kind::Git),
            ("git@example.org:x/y", Kind::Git),
            ("ssh://git@example.org/x", Kind::Git),
            ("git://example.org/x", Kind::Git),
            ("x.git", Kind::Path),
            ("a@b", Kind::Path),
        ] {
            assert_eq!(kind(source), expected, "{source}");
        }
    }
}
