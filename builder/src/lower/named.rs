//! Contexts that the user names: they stand in for stages, images and sources of that name.

use kiln_store::{Platform, Reference};

use super::stages::BaseName;
use crate::request::{BuildRequest, NamedContext};

/// What stands between a name and the platform that a context is for.
const PLATFORM_MARK: &str = "::";
/// How the name of a base in a layout directory begins.
pub(crate) const LAYOUT: &str = "oci-layout://";

/// Finds the context of this name: one for the platform before one for all.
pub(super) fn named<'a>(
    request: &'a BuildRequest,
    name: &str,
    platform: &Platform,
) -> Option<(&'a str, &'a NamedContext)> {
    let wanted = familiar(name);
    let find = |platform: Option<&str>| {
        request.named_contexts.iter().find(|(key, _)| {
            let (own, own_platform) = match key.split_once(PLATFORM_MARK) {
                Some((own, platform)) => (own, Some(platform)),
                None => (key.as_str(), None),
            };
            own_platform == platform && familiar(own) == wanted
        })
    };
    find(Some(&platform.to_string()))
        .or_else(|| find(None))
        .map(|(key, context)| (key.as_str(), context))
}

/// A name as people write it: `alpine` for `docker.io/library/alpine:latest`.
fn familiar(name: &str) -> String {
    let Ok(reference) = name.parse::<Reference>() else {
        return name.to_ascii_lowercase();
    };
    let familiar = reference.familiar();
    familiar
        .strip_suffix(":latest")
        .unwrap_or(&familiar)
        .to_owned()
}

/// What a stage begins with that begins with a context.
pub(super) fn base(
    key: &str,
    context: &NamedContext,
    stage: impl Fn(&str) -> Option<usize>,
) -> Option<BaseName> {
    Some(match context {
        NamedContext::Image(reference) => BaseName::Image(reference.to_string()),
        NamedContext::Layout { path, image } => {
            BaseName::Image(format!("{LAYOUT}{}#{image}", path.display()))
        }
        NamedContext::Directory { .. } | NamedContext::Remote(_) => {
            BaseName::Context(key.to_owned())
        }
        NamedContext::Stage(name) => BaseName::Stage(stage(name)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_spelling() {
        let mut request = BuildRequest::new("");
        let context = |name: &str| NamedContext::Stage(name.to_owned());
        for key in [
            "alpine",
            "alpine::linux/arm64",
            "docker.io/library/debian:12",
            "Own",
        ] {
            request.named_contexts.insert(key.to_owned(), context(key));
        }
        let amd64 = Platform::new("linux", "amd64", None);
        let arm64 = Platform::new("linux", "arm64", None);
        let found = |name: &str, platform| named(&request, name, platform).map(|(key, _)| key);
        for (name, platform, expected) in [
            ("alpine", &amd64, Some("alpine")),
            ("docker.io/library/alpine:latest", &amd64, Some("alpine")),
            ("alpine", &arm64, Some("alpine::linux/arm64")),
            ("alpine:3", &amd64, None),
            ("debian:12", &amd64, Some("docker.io/library/debian:12")),
            ("own", &amd64, Some("Own")),
            ("other", &amd64, None),
        ] {
            assert_eq!(found(name, platform), expected, "{name} {platform}");
        }
    }
}
