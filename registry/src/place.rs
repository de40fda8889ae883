//! Where images are: registries, layouts, archives, directories, the store, a docker daemon, as people write them.
//!
//! The words are skopeo's (containers-transports(5)), with two more: `store:NAME` is kiln's own store, `-` an archive on standard input or output.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use kiln_store::{Digest, Reference, ReferenceError};

use crate::content::ManifestName;

/// A place that images are copied from or to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `docker://NAME` or `NAME`: a registry.
    Registry(Reference),
    /// `oci:PATH[:TAG]` or `oci:PATH@DIGEST`: an image layout.
    Layout(PathBuf, Option<ManifestName>),
    /// `oci-archive:FILE[:TAG]`: an image layout in a tar; `-` for standard input or output.
    LayoutArchive(PathBuf, Option<ManifestName>),
    /// `docker-archive:FILE[:NAME]`: what `docker save` writes; `-` for standard input or output.
    DockerArchive(PathBuf, Option<Reference>),
    /// `dir:PATH`: loose files.
    Directory(PathBuf),
    /// `store:NAME`: kiln's store.
    Store(String),
    /// `docker-daemon:NAME`: a docker engine.
    Daemon(Reference),
}

/// A text that names no place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The name of an image in it is not one.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// It does not follow the form of its kind.
    #[error("`{text}` names no place: {problem}")]
    Form {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Place {
    /// Whether it is standard input or output.
    #[must_use]
    pub fn is_standard_stream(&self) -> bool {
        matches!(self, Self::LayoutArchive(path, _) | Self::DockerArchive(path, _) if path.as_os_str() == "-")
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let wrong = |problem| PlaceError::Form {
            text: text.to_owned(),
            problem,
        };
        if text == "-" {
            return Ok(Self::DockerArchive(PathBuf::from("-"), None));
        }
        let Some((kind, rest)) = text.split_once(':') else {
            return Ok(Self::Registry(text.parse()?));
        };
        match kind {
            "docker" => {
                let name = rest
                    .strip_prefix("//")
                    .ok_or_else(|| wrong("write `docker://NAME`"))?;
                Ok(Self::Registry(name.parse()?))
            }
            "oci" | "ocidir" => {
                let (path, name) = split_layout(rest.strip_prefix("//").unwrap_or(rest));
                let path = filled(path).ok_or_else(|| wrong("write `oci:PATH[:TAG]`"))?;
                Ok(Self::Layout(path, name))
            }
            "oci-archive" => {
                let (path, name) = split_layout(rest);
                let path = filled(path).ok_or_else(|| wrong("write `oci-archive:FILE[:TAG]`"))?;
                Ok(Self::LayoutArchive(path, name))
            }
            "docker-archive" => {
                let (path, name) = match rest.split_once(':') {
                    Some((path, name)) => (path, Some(name.parse::<Reference>()?)),
                    None => (rest, None),
                };
                let path =
                    filled(path).ok_or_else(|| wrong("write `docker-archive:FILE[:NAME]`"))?;
                Ok(Self::DockerArchive(
                    path,
                    name.map(Reference::with_default_tag),
                ))
            }
            "dir" => {
                let path = filled(rest).ok_or_else(|| wrong("write `dir:PATH`"))?;
                Ok(Self::Directory(path))
            }
            "store" if rest.is_empty() => Err(wrong("write `store:NAME`")),
            "store" => Ok(Self::Store(rest.to_owned())),
            "docker-daemon" => Ok(Self::Daemon(rest.parse::<Reference>()?.with_default_tag())),
            "containers-storage" => Err(wrong(
                "podman's store is read through `podman save | kiln load` or `podman push IMAGE oci:PATH`",
            )),
            _ if rest.starts_with("//") => Err(wrong(
                "known are docker://NAME, oci:, oci-archive:, docker-archive:, dir:, store:, docker-daemon: and -",
            )),
            _ => Ok(Self::Registry(text.parse()?)),
        }
    }
}

fn filled(path: &str) -> Option<PathBuf> {
    (!path.is_empty()).then(|| PathBuf::from(path))
}

/// `PATH:TAG`, `PATH@DIGEST` or `PATH`. As with skopeo, a path holds no colon.
fn split_layout(text: &str) -> (&str, Option<ManifestName>) {
    if let Some((path, digest)) = text.rsplit_once('@')
        && let Ok(digest) = digest.parse::<Digest>()
    {
        return (path, Some(ManifestName::Digest(digest)));
    }
    match text.split_once(':') {
        Some((path, tag)) if !tag.is_empty() => (path, Some(ManifestName::Tag(tag.to_owned()))),
        Some((path, _)) => (path, None),
        None => (text, None),
    }
}

/// Writes it as it is read.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = |f: &mut fmt::Formatter<'_>, kind: &str, path: &PathBuf, name: &Option<_>| {
            write!(f, "{kind}:{}", path.display())?;
            match name {
                Some(ManifestName::Tag(tag)) => write!(f, ":{tag}"),
                Some(ManifestName::Digest(digest)) => write!(f, "@{digest}"),
                None => Ok(()),
            }
        };
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::Layout(path, name) => layout(f, "oci", path, name),
            Self::LayoutArchive(path, name) => layout(f, "oci-archive", path, name),
            Self::DockerArchive(path, None) => write!(f, "docker-archive:{}", path.display()),
            Self::DockerArchive(path, Some(name)) => {
                write!(f, "docker-archive:{}:{name}", path.display())
            }
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Store(name) => write!(f, "store:{name}"),
            Self::Daemon(name) => write!(f, "docker-daemon:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_and_write() {
        let digest = Digest::sha256(b"x").to_string();
        let at_digest = format!("oci:/a/b@{digest}");
        let cases = [
            ("debian", "docker://docker.io/library/debian"),
            ("debian:12", "docker://docker.io/library/debian:12"),
            ("localhost:5000/a:b", "docker://localhost:5000/a:b"),
            ("docker://[::1]:5000/a", "docker://[::1]:5000/a"),
            ("oci:/a/b:tag", "oci:/a/b:tag"),
            ("oci:a/b", "oci:a/b"),
            ("oci:a:", "oci:a"),
            ("oci:a:host/name:tag", "oci:a:host/name:tag"),
            ("ocidir://a:t", "oci:a:t"),
            (&at_digest, &at_digest),
            ("oci-archive:x.tar:v1", "oci-archive:x.tar:v1"),
            ("oci-archive:-", "oci-archive:-"),
            (
                "docker-archive:x.tar:app",
                "docker-archive:x.tar:docker.io/library/app:latest",
            ),
            ("docker-archive:x.tar", "docker-archive:x.tar"),
            ("-", "docker-archive:-"),
            ("dir:/x", "dir:/x"),
            ("store:app:1", "store:app:1"),
            (
                "docker-daemon:app:1",
                "docker-daemon:docker.io/library/app:1",
            ),
        ];
        for (text, shown) in cases {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Place>().expect(shown), place, "{text}");
        }
        for text in [
            "",
            "oci:",
            "dir:",
            "store:",
            "docker:debian",
            "docker://",
            "containers-storage:x",
            "ostree://x",
            "docker-archive:",
            "UPPER/case:x:y",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
