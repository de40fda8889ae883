//! Docker's notations for mounts: `-v`, `--mount`, `--tmpfs`, `--volumes-from`.

mod long;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::config::{MountConfig, MountOrigin};
use super::error::{Error, Result};
use super::names;
use super::quantity::parse_size;
use crate::Propagation;

/// Mode of a tmpfs unless asked for otherwise: docker's.
const TMPFS_MODE: u32 = 0o1777;

/// A mount as the command line asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountRequest {
    pub target: String,
    pub source: SourceRequest,
    pub read_only: bool,
    pub no_exec: bool,
    /// Mounts below a bind come along.
    pub recursive: bool,
    pub propagation: Propagation,
    /// Asks for a label of SELinux, which kiln does not set.
    pub relabel: bool,
    /// The image asks for it, not the command line.
    pub of_image: bool,
}

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceRequest {
    /// A path of the host; `create` makes a missing one a directory, as `-v` does.
    Bind { path: PathBuf, create: bool },
    /// A volume, new and nameless without a name; `copy` fills an empty one from the image.
    Volume {
        name: Option<String>,
        copy: bool,
        subpath: Option<String>,
        labels: BTreeMap<String, String>,
    },
    /// Memory.
    Tmpfs {
        size: Option<u64>,
        mode: u32,
        owner: (u32, u32),
    },
}

impl SourceRequest {
    fn volume(name: Option<String>, copy: bool) -> Self {
        Self::Volume {
            name,
            copy,
            subpath: None,
            labels: BTreeMap::new(),
        }
    }
}

impl MountRequest {
    fn new(target: &str, source: SourceRequest) -> Result<Self> {
        Ok(Self {
            target: absolute(target)?,
            source,
            read_only: false,
            no_exec: false,
            recursive: true,
            propagation: Propagation::default(),
            relabel: false,
            of_image: false,
        })
    }

    /// A volume without a name, as an image asks for it.
    pub(crate) fn anonymous(target: &str) -> Result<Self> {
        Ok(Self {
            of_image: true,
            ..Self::new(target, SourceRequest::volume(None, true))?
        })
    }

    /// Reads `-v [source:]target[:options]`. A source with a slash in front is a path, any other a volume's name.
    pub(crate) fn parse_volume(text: &str) -> Result<Self> {
        let invalid = |reason: &str| {
            Error::Invalid(format!("invalid volume specification: '{text}': {reason}"))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => return Err(invalid("too many colons")),
        };
        let mut copy = true;
        let mut mount = Self::new(target, SourceRequest::volume(None, true))?;
        let bind = source.is_some_and(|source| source.starts_with('/'));
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => mount.read_only = true,
                "rw" => mount.read_only = false,
                "nocopy" => copy = false,
                "noexec" => mount.no_exec = true,
                "exec" => mount.no_exec = false,
                "z" | "Z" => mount.relabel = true,
                // Hints of other systems.
                "cached" | "delegated" | "consistent" => {}
                other => match Propagation::named(other) {
                    Some(propagation) if bind => mount.propagation = propagation,
                    Some(_) => return Err(invalid("propagation is for binds of the host")),
                    None => return Err(invalid(&format!("the option `{other}` is not known"))),
                },
            }
        }
        mount.source = match source {
            Some(path) if bind => SourceRequest::Bind {
                path: PathBuf::from(path),
                create: true,
            },
            name => SourceRequest::volume(name.map(volume_name).transpose()?, copy),
        };
        Ok(mount)
    }

    /// Reads `--tmpfs target[:options]`.
    pub(crate) fn parse_tmpfs(text: &str) -> Result<Self> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let invalid =
            |option: &str| Error::Invalid(format!("invalid tmpfs option `{option}` in '{text}'"));
        let (mut size, mut mode, mut owner) = (None, TMPFS_MODE, (0, 0));
        let (mut read_only, mut no_exec) = (false, true);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("size", value) => size = Some(parse_size(value)?),
                ("mode", value) => mode = parse_mode(value)?,
                ("uid", value) => owner.0 = value.parse().map_err(|_| invalid(option))?,
                ("gid", value) => owner.1 = value.parse().map_err(|_| invalid(option))?,
                ("ro", "") => read_only = true,
                ("exec", "") => no_exec = false,
                ("rw" | "noexec" | "nosuid" | "nodev" | "noatime" | "relatime", "") => {}
                _ => return Err(invalid(option)),
            }
        }
        let mut mount = Self::new(target, SourceRequest::Tmpfs { size, mode, owner })?;
        mount.read_only = read_only;
        mount.no_exec = no_exec;
        Ok(mount)
    }

    /// The mount of the container, with the volume's name.
    pub(crate) fn settle(self, volume: Option<(String, bool)>) -> MountConfig {
        let source = match (self.source, volume) {
            (SourceRequest::Bind { path, .. }, _) => MountOrigin::Bind { path },
            (SourceRequest::Tmpfs { size, mode, owner }, _) => {
                MountOrigin::Tmpfs { size, mode, owner }
            }
            (SourceRequest::Volume { name, subpath, .. }, volume) => {
                let (name, anonymous) = volume.unwrap_or((name.unwrap_or_default(), false));
                MountOrigin::Volume {
                    name,
                    anonymous,
                    subpath,
                }
            }
        };
        MountConfig {
            target: self.target,
            source,
            read_only: self.read_only,
            no_exec: self.no_exec,
            recursive: self.recursive,
            propagation: self.propagation,
        }
    }
}

/// Reads `--volumes-from CONTAINER[:ro|rw]`: the container, and whether its mounts become read-only.
pub(crate) fn parse_volumes_from(text: &str) -> Result<(&str, Option<bool>)> {
    match text.rsplit_once(':') {
        None => Ok((text, None)),
        Some((container, "ro")) => Ok((container, Some(true))),
        Some((container, "rw")) => Ok((container, Some(false))),
        Some((container, "z" | "Z")) => Ok((container, None)),
        Some((_, mode)) => Err(Error::Invalid(format!(
            "invalid mode for volumes-from: {mode}"
        ))),
    }
}

/// Checks a path inside the container and brings it into its simple form.
fn absolute(target: &str) -> Result<String> {
    if !target.starts_with('/') {
        return Err(Error::Invalid(format!(
            "invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    let mut parts = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(Error::Invalid(
            "invalid specification: destination can't be '/'".to_owned(),
        ));
    }
    Ok(format!("/{}", parts.join("/")))
}

fn volume_name(name: &str) -> Result<String> {
    names::validate(name).map_err(|_| {
        Error::Invalid(format!(
            "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        ))
    })?;
    Ok(name.to_owned())
}

fn parse_mode(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Error::Invalid(format!("invalid mode `{text}`: octal digits are expected")))
}
