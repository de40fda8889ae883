//! The names under which credentials are filed.
//!
//! docker files them under a host name, or under a URL (`https://index.docker.io/v1/`); containers' tools under `host[:port][/path]`. All names of
//! Docker Hub mean one registry.

/// The key of Docker Hub in docker's files, and its name for helpers.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The name of Docker Hub in references.
const HUB: &str = "docker.io";

/// A key as it is compared: no scheme, no trailing slash, one name for Docker Hub. A URL stands for its host, as docker has it.
pub(super) fn normalize(key: &str) -> String {
    let trimmed = key.trim();
    let lower = trimmed.to_ascii_lowercase();
    let is_url = lower.starts_with("https://") || lower.starts_with("http://");
    let bare = if is_url {
        &trimmed[trimmed.find("://").map_or(0, |at| at + 3)..]
    } else {
        trimmed
    };
    let bare = bare.trim_end_matches('/');
    let bare = bare
        .strip_suffix("/v1")
        .or_else(|| bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) if !is_url => (host, Some(path)),
        Some((host, _)) => (host, None),
        None => (bare, None),
    };
    let host = hub_or(host.to_ascii_lowercase());
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host,
    }
}

fn hub_or(host: String) -> String {
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => HUB.to_owned(),
        _ => host,
    }
}

/// The keys under which a repository's credentials may be filed, the most particular first; the last one is the host.
pub(super) fn candidates(registry: &str, repository: &str) -> Vec<String> {
    let host = hub_or(registry.to_ascii_lowercase());
    let mut keys = Vec::new();
    let mut path = repository;
    while !path.is_empty() {
        keys.push(format!("{host}/{path}"));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    keys.push(host);
    keys
}

/// The key under which a new entry for `registry` is filed so that docker finds it too.
pub fn file_key(registry: &str) -> String {
    let key = normalize(registry);
    if key == HUB { HUB_KEY.to_owned() } else { key }
}

/// What a helper is asked for.
pub(super) fn helper_server(host: &str) -> &str {
    if host == HUB { HUB_KEY } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (written, expect) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("docker.io", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("https://quay.io", "quay.io"),
            ("http://Host:5000/v2/", "host:5000"),
            ("quay.io/team/app", "quay.io/team/app"),
            ("https://host/some/path", "host"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(normalize(written), expect, "{written}");
        }
        assert_eq!(
            candidates("quay.io", "team/app"),
            ["quay.io/team/app", "quay.io/team", "quay.io"]
        );
        assert_eq!(candidates("docker.io", ""), ["docker.io"]);
        assert_eq!(file_key("docker.io"), HUB_KEY);
        assert_eq!(file_key("https://host:5000/v2/"), "host:5000");
    }
}
