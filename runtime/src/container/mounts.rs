//! Docker's notations for mounts: `-v`, `--mount`, `--tmpfs`.

use std::path::PathBuf;

use super::config::{MountConfig, MountOrigin};
use super::error::{Error, Result};
use super::names;
use super::quantity::parse_size;

/// Mode of a tmpfs unless asked for otherwise: docker's.
const TMPFS_MODE: u32 = 0o1777;

/// A mount as the command line asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountRequest {
    pub target: String,
    pub source: SourceRequest,
    pub read_only: bool,
    pub no_exec: bool,
}

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceRequest {
    /// A path of the host; `create` makes a missing one a directory, as `-v` does.
    Bind { path: PathBuf, create: bool },
    /// A volume, new and nameless without a name; `copy` fills an empty one from the image.
    Volume { name: Option<String>, copy: bool },
    /// Memory.
    Tmpfs { size: Option<u64>, mode: u32 },
}

impl MountRequest {
    /// A volume without a name, as an image asks for it.
    pub(crate) fn anonymous(target: &str) -> Result<Self> {
        Ok(Self {
            target: absolute(target)?,
            source: SourceRequest::Volume {
                name: None,
                copy: true,
            },
            read_only: false,
            no_exec: false,
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
        let (mut read_only, mut copy, mut no_exec) = (false, true, false);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => read_only = true,
                "rw" => read_only = false,
                "nocopy" => copy = false,
                "noexec" => no_exec = true,
                // Labels and hints of other systems; private propagation is what every mount has.
                "z" | "Z" | "cached" | "delegated" | "consistent" | "private" | "rprivate" => {}
                other => return Err(invalid(&format!("the option `{other}` is not known"))),
            }
        }
        let source = match source {
            None => SourceRequest::Volume { name: None, copy },
            Some(path) if path.starts_with('/') => SourceRequest::Bind {
                path: PathBuf::from(path),
                create: true,
            },
            Some(name) => SourceRequest::Volume {
                name: Some(volume_name(name)?),
                copy,
            },
        };
        Ok(Self {
            target: absolute(target)?,
            source,
            read_only,
            no_exec,
        })
    }

    /// Reads `--tmpfs target[:options]`.
    pub(crate) fn parse_tmpfs(text: &str) -> Result<Self> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let (mut size, mut mode, mut read_only, mut no_exec) = (None, TMPFS_MODE, false, true);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("size", value) => size = Some(parse_size(value)?),
                ("mode", value) => mode = parse_mode(value)?,
                ("ro", "") => read_only = true,
                ("exec", "") => no_exec = false,
                ("rw" | "noexec" | "nosuid" | "nodev", "") => {}
                _ => {
                    return Err(Error::Invalid(format!(
                        "invalid tmpfs option `{option}` in '{text}'"
                    )));
                }
            }
        }
        Ok(Self {
            target: absolute(target)?,
            source: SourceRequest::Tmpfs { size, mode },
            read_only,
            no_exec,
        })
    }

    /// Reads `--mount type=...,source=...,target=...`.
    pub(crate) fn parse_mount(text: &str) -> Result<Self> {
        let invalid = |reason: String| {
            Error::Invalid(format!(
                "invalid argument \"{text}\" for \"--mount\" flag: {reason}"
            ))
        };
        let (mut kind, mut source, mut target) = ("volume", None, None);
        let (mut read_only, mut copy, mut size, mut mode) = (false, true, None, TMPFS_MODE);
        for field in text.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, "true"));
            match key.to_ascii_lowercase().as_str() {
                "type" => kind = value,
                "source" | "src" => source = Some(value),
                "target" | "destination" | "dst" => target = Some(value),
                "readonly" | "ro" => read_only = matches!(value, "true" | "1"),
                "volume-nocopy" => copy = !matches!(value, "true" | "1"),
                "tmpfs-size" => size = Some(parse_size(value)?),
                "tmpfs-mode" => mode = parse_mode(value)?,
                "bind-propagation" if matches!(value, "private" | "rprivate") => {}
                "consistency" => {}
                _ => return Err(invalid(format!("unexpected key '{key}' in '{field}'"))),
            }
        }
        let target = absolute(target.ok_or_else(|| invalid("target is required".to_owned()))?)?;
        let source = match (kind, source) {
            ("bind", Some(path)) if path.starts_with('/') => SourceRequest::Bind {
                path: PathBuf::from(path),
                create: false,
            },
            ("bind", Some(path)) => {
                return Err(invalid(format!(
                    "mount path must be absolute, `{path}` is not"
                )));
            }
            ("bind", None) => return Err(invalid("source is required for a bind".to_owned())),
            ("volume", name) => SourceRequest::Volume {
                name: name.map(volume_name).transpose()?,
                copy,
            },
            ("tmpfs", _) => SourceRequest::Tmpfs { size, mode },
            (other, _) => return Err(invalid(format!("mount type unknown: `{other}`"))),
        };
        Ok(Self {
            target,
            source,
            read_only,
            no_exec: kind == "tmpfs",
        })
    }

    /// The mount of the container, with the volume's name.
    pub(crate) fn settle(self, volume: Option<(String, bool)>) -> MountConfig {
        let source = match (self.source, volume) {
            (SourceRequest::Bind { path, .. }, _) => MountOrigin::Bind { path },
            (SourceRequest::Tmpfs { size, mode }, _) => MountOrigin::Tmpfs { size, mode },
            (SourceRequest::Volume { name, .. }, volume) => {
                let (name, anonymous) = volume.unwrap_or((name.unwrap_or_default(), false));
                MountOrigin::Volume { name, anonymous }
            }
        };
        MountConfig {
            target: self.target,
            source,
            read_only: self.read_only,
            no_exec: self.no_exec,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &str, create: bool) -> SourceRequest {
        SourceRequest::Bind {
            path: path.into(),
            create,
        }
    }

    fn volume(name: Option<&str>, copy: bool) -> SourceRequest {
        SourceRequest::Volume {
            name: name.map(str::to_owned),
            copy,
        }
    }

    fn check(
        found: Result<MountRequest>,
        target: &str,
        source: SourceRequest,
        read_only: bool,
        no_exec: bool,
    ) {
        assert_eq!(
            found.unwrap(),
            MountRequest {
                target: target.to_owned(),
                source,
                read_only,
                no_exec
            }
        );
    }

    #[test]
    fn volumes_and_binds() {
        check(
            MountRequest::parse_volume("/data"),
            "/data",
            volume(None, true),
            false,
            false,
        );
        check(
            MountRequest::parse_volume("db:/var//lib/./db/"),
            "/var/lib/db",
            volume(Some("db"), true),
            false,
            false,
        );
        check(
            MountRequest::parse_volume("db:/x:ro,nocopy"),
            "/x",
            volume(Some("db"), false),
            true,
            false,
        );
        check(
            MountRequest::parse_volume("/src:/app:ro,z"),
            "/app",
            bind("/src", true),
            true,
            false,
        );
    }

    #[test]
    fn the_long_form() {
        check(
            MountRequest::parse_mount("type=bind,source=/a,target=/b,readonly"),
            "/b",
            bind("/a", false),
            true,
            false,
        );
        check(
            MountRequest::parse_mount("src=db,dst=/b,volume-nocopy"),
            "/b",
            volume(Some("db"), false),
            false,
            false,
        );
        check(
            MountRequest::parse_mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700"),
            "/t",
            SourceRequest::Tmpfs {
                size: Some(1 << 20),
                mode: 0o700,
            },
            false,
            true,
        );
    }

    #[test]
    fn memory() {
        check(
            MountRequest::parse_tmpfs("/run"),
            "/run",
            SourceRequest::Tmpfs {
                size: None,
                mode: 0o1777,
            },
            false,
            true,
        );
        check(
            MountRequest::parse_tmpfs("/run:rw,exec,size=64k,mode=755"),
            "/run",
            SourceRequest::Tmpfs {
                size: Some(65536),
                mode: 0o755,
            },
            false,
            false,
        );
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "data",
            "a:b",
            "/a:/b:/c:/d",
            "a b:/x",
            "./rel:/x",
            "/a:/b:shared",
            "/a:/",
            "/a:/..",
        ] {
            assert!(MountRequest::parse_volume(text).is_err(), "{text}");
        }
        for text in [
            "type=bind,target=/x",
            "type=bind,source=rel,target=/x",
            "source=a",
            "type=npipe,target=/x",
            "target=/x,what=1",
        ] {
            assert!(MountRequest::parse_mount(text).is_err(), "{text}");
        }
        assert!(MountRequest::parse_tmpfs("/x:size=lots").is_err());
    }
}
