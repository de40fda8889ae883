//! `--mount type=...,source=...,target=...`.

use super::{
    Error, MountRequest, PathBuf, Propagation, Result, SourceRequest, TMPFS_MODE, parse_mode,
    parse_size, volume_name,
};
use std::collections::BTreeMap;

/// The fields of one `--mount`, as they were given.
#[derive(Debug, Default)]
struct Fields<'a> {
    kind: Option<&'a str>,
    source: Option<&'a str>,
    target: Option<&'a str>,
    read_only: bool,
    /// Options of one kind of mount only, by their first word.
    of_kind: Vec<&'a str>,
    create: bool,
    nonrecursive: bool,
    propagation: Propagation,
    nocopy: bool,
    subpath: Option<String>,
    labels: BTreeMap<String, String>,
    size: Option<u64>,
    mode: Option<u32>,
}

impl MountRequest {
    /// Reads docker's long form.
    pub(crate) fn parse_mount(text: &str) -> Result<Self> {
        let invalid = |reason: String| {
            Error::Invalid(format!(
                "invalid argument \"{text}\" for \"--mount\" flag: {reason}"
            ))
        };
        let mut fields = Fields::default();
        for field in text.split(',') {
            fields.read(field).map_err(&invalid)?;
        }
        let kind = fields.kind.unwrap_or("volume");
        if let Some(other) = fields.of_kind.iter().find(|word| **word != kind) {
            return Err(invalid(format!(
                "cannot mix '{other}-*' options with mount type '{kind}'"
            )));
        }
        let target = fields
            .target
            .ok_or_else(|| invalid("target is required".to_owned()))?;
        let source = match (kind, fields.source) {
            ("bind", Some(path)) if path.starts_with('/') => SourceRequest::Bind {
                path: PathBuf::from(path),
                create: fields.create,
            },
            ("bind", Some(path)) => {
                return Err(invalid(format!(
                    "mount path must be absolute, `{path}` is not"
                )));
            }
            ("bind", None) => return Err(invalid("source is required for a bind".to_owned())),
            ("volume", name) => SourceRequest::Volume {
                name: name
                    .filter(|name| !name.is_empty())
                    .map(volume_name)
                    .transpose()?,
                copy: !fields.nocopy,
                subpath: fields.subpath,
                labels: fields.labels,
            },
            ("tmpfs", Some(_)) => {
                return Err(invalid("a tmpfs has no source".to_owned()));
            }
            ("tmpfs", None) => SourceRequest::Tmpfs {
                size: fields.size,
                mode: fields.mode.unwrap_or(TMPFS_MODE),
                owner: (0, 0),
            },
            (other, _) => {
                return Err(invalid(format!(
                    "mount type unknown: `{other}`: `bind`, `volume` and `tmpfs` exist"
                )));
            }
        };
        let mut mount = Self::new(target, source)?;
        mount.read_only = fields.read_only;
        mount.no_exec = kind == "tmpfs";
        mount.recursive = !fields.nonrecursive;
        mount.propagation = fields.propagation;
        Ok(mount)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, field: &'a str) -> std::result::Result<(), String> {
        let (key, value) = field.split_once('=').unwrap_or((field, "true"));
        let key = key.trim().to_ascii_lowercase();
        if let Some((kind @ ("bind" | "volume" | "tmpfs"), _)) = key.split_once('-') {
            self.of_kind.push(match kind {
                "bind" => "bind",
                "volume" => "volume",
                _ => "tmpfs",
            });
        }
        let flag = || match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(format!("invalid value for {key}: {value}")),
        };
        match key.as_str() {
            "type" => self.kind = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "destination" | "dst" => self.target = Some(value),
            "readonly" | "ro" => self.read_only = flag()?,
            "consistency" => {}
            "bind-propagation" => {
                self.propagation = Propagation::named(value)
                    .ok_or_else(|| format!("invalid propagation: {value}"))?;
            }
            "bind-nonrecursive" => self.nonrecursive = flag()?,
            "bind-create-src" => self.create = flag()?,
            "bind-recursive" => {
                self.nonrecursive = match value {
                    "enabled" | "writable" | "readonly" => false,
                    "disabled" => true,
                    _ => return Err(format!("invalid value for {key}: {value}")),
                };
            }
            "volume-nocopy" => self.nocopy = flag()?,
            "volume-subpath" => self.subpath = Some(subpath(value)?),
            "volume-label" => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                self.labels.insert(name.to_owned(), value.to_owned());
            }
            "volume-driver" if value == "local" || value.is_empty() => {}
            "volume-driver" => {
                return Err(format!(
                    "volume driver `{value}` not found: kiln has `local`"
                ));
            }
            "volume-opt" => return Err("volumes of kiln take no driver options".to_owned()),
            "tmpfs-size" => self.size = Some(parse_size(value).map_err(|error| error.to_string())?),
            "tmpfs-mode" => self.mode = Some(parse_mode(value).map_err(|error| error.to_string())?),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }
}

/// A path inside a volume: relative, without a way up.
fn subpath(text: &str) -> std::result::Result<String, String> {
    let plain = |part: &str| !part.is_empty() && part != ".." && part != ".";
    if text.split('/').all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "invalid subpath `{text}`: a relative path without `..` is expected"
        ))
    }
}
