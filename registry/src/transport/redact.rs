//! URLs for messages: no user information, no values of query parameters that may be signatures or tokens.

use url::Url;

/// Query parameters that are shown with their values, because they explain a request and never hold a secret.
const SHOWN: &[&str] = &[
    "digest",
    "mount",
    "from",
    "n",
    "last",
    "scope",
    "service",
    "tag",
    "ns",
    "artifactType",
];

/// The longest path that is shown whole; upload locations carry a kilobyte of state.
const LONGEST_PATH: usize = 200;

/// A URL as it may be shown to anyone.
pub(crate) fn redact(url: &Url) -> String {
    let mut text = format!("{}://", url.scheme());
    text.push_str(url.host_str().unwrap_or(""));
    if let Some(port) = url.port() {
        text.push_str(&format!(":{port}"));
    }
    match url.path().char_indices().nth(LONGEST_PATH) {
        Some((end, _)) => {
            text.push_str(&url.path()[..end]);
            text.push_str("...");
        }
        None => text.push_str(url.path()),
    }
    let mut separator = '?';
    for (name, value) in url.query_pairs() {
        text.push(separator);
        separator = '&';
        text.push_str(&name);
        text.push('=');
        text.push_str(if SHOWN.contains(&&*name) {
            &value
        } else {
            "(hidden)"
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden() {
        let url = Url::parse(
            "https://user:pass@host:5000/v2/a/blobs/x?digest=sha256:1&X-Amz-Signature=abc&_state=q",
        )
        .unwrap();
        assert_eq!(
            redact(&url),
            "https://host:5000/v2/a/blobs/x?digest=sha256:1&X-Amz-Signature=(hidden)&_state=(hidden)"
        );
    }
}
