//! `--cache-from` and `--cache-to`, as buildx reads them.

use std::path::PathBuf;

use kiln_builder::{Built, CacheLocation, CacheMode, export_cache};
use kiln_store::Compression;

use super::fields::{Fields, refuse};
use crate::error::CommandError;
use crate::output;

/// Back-ends of buildx that need a service of their own.
const ELSEWHERE: [&str; 3] = ["gha", "s3", "azblob"];
/// gzip's and Zstandard's usual levels.
const LEVELS: (u8, u8) = (6, 3);

/// Where a cache goes after a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTarget {
    /// A place of its own.
    Location {
        /// Where.
        location: CacheLocation,
        /// Which steps.
        mode: CacheMode,
        /// How new blobs are compressed.
        compression: Compression,
        /// A failure is only told.
        ignore_error: bool,
    },
    /// The image itself.
    Inline,
}

impl CacheTarget {
    /// Whether it takes the results of all steps.
    pub fn holds_all(&self) -> bool {
        matches!(
            self,
            Self::Location {
                mode: CacheMode::Max,
                ..
            }
        )
    }
}

/// Reads `--cache-from`. What kiln cannot read is told and left out: a cache is never needed.
pub fn sources(texts: &[String]) -> Result<Vec<CacheLocation>, CommandError> {
    const FLAG: &str = "--cache-from";
    let mut all = Vec::new();
    for text in texts {
        if !text.contains('=') {
            all.push(registry(FLAG, text, text)?);
            continue;
        }
        let fields = Fields::read(FLAG, text)?;
        let kind = kind(FLAG, text, &fields)?;
        if elsewhere(FLAG, &kind) {
            continue;
        }
        for (key, value) in fields.iter() {
            match key {
                "type" | "ref" | "src" | "tag" => {
                    fields.value(key, value)?;
                }
                "registry.insecure" | "scope" | "digest" => {}
                other => return Err(fields.unknown(other, ["type", "ref", "src", "tag"])),
            }
        }
        all.push(location(FLAG, text, &kind, &fields, "src")?);
    }
    Ok(all)
}

/// Reads `--cache-to`.
pub fn targets(texts: &[String]) -> Result<Vec<CacheTarget>, CommandError> {
    const FLAG: &str = "--cache-to";
    let mut all = Vec::new();
    for text in texts {
        if !text.contains('=') {
            all.push(CacheTarget::Location {
                location: registry(FLAG, text, text)?,
                mode: CacheMode::Min,
                compression: Compression::GZIP,
                ignore_error: false,
            });
            continue;
        }
        let fields = Fields::read(FLAG, text)?;
        let kind = kind(FLAG, text, &fields)?;
        if elsewhere(FLAG, &kind) {
            continue;
        }
        if kind == "inline" {
            all.push(CacheTarget::Inline);
            continue;
        }
        all.push(target(FLAG, text, &kind, &fields)?);
    }
    Ok(all)
}

fn target(
    flag: &str,
    text: &str,
    kind: &str,
    fields: &Fields<'_>,
) -> Result<CacheTarget, CommandError> {
    let (mut mode, mut ignore_error) = (CacheMode::Min, false);
    let (mut name, mut level) = ("gzip", None);
    for (key, value) in fields.iter() {
        match key {
            "mode" => {
                mode = match fields.value(key, value)? {
                    "min" => CacheMode::Min,
                    "max" => CacheMode::Max,
                    other => return Err(fields.refuse(other, "the modes are min and max")),
                };
            }
            "compression" => name = fields.value(key, value)?,
            "compression-level" => {
                let text = fields.value(key, value)?;
                let number = text
                    .parse::<u8>()
                    .map_err(|_| fields.refuse(text, "a level is a number"))?;
                level = Some(number);
            }
            "ignore-error" => ignore_error = fields.truth(key, value)?,
            "type" | "ref" | "dest" | "tag" => {
                fields.value(key, value)?;
            }
            "image-manifest" | "oci-mediatypes" | "force-compression" | "registry.insecure"
            | "reset" | "scope" => {}
            other => {
                let known = ["type", "ref", "dest", "mode", "compression", "ignore-error"];
                return Err(fields.unknown(other, known));
            }
        }
    }
    let compression = match name {
        "gzip" => Compression::Gzip(level.unwrap_or(LEVELS.0)),
        "zstd" => Compression::Zstd(level.unwrap_or(LEVELS.1)),
        "uncompressed" => Compression::None,
        other => {
            return Err(fields.refuse(other, "compression is gzip, zstd or uncompressed"));
        }
    };
    Ok(CacheTarget::Location {
        location: location(flag, text, kind, fields, "dest")?,
        mode,
        compression,
        ignore_error,
    })
}

fn kind(flag: &str, text: &str, fields: &Fields<'_>) -> Result<String, CommandError> {
    fields
        .get("type")
        .map(str::to_owned)
        .ok_or_else(|| refuse(flag, text, "", "`type=` is required"))
}

/// Tells of a back-end that kiln does not have.
fn elsewhere(flag: &str, kind: &str) -> bool {
    let known = ELSEWHERE.contains(&kind);
    if known {
        output::talk(&format!(
            "note: {flag} type={kind} has no effect: kiln keeps caches in registries and folders (`type=registry`, \
             `type=local`)"
        ));
    }
    known
}

fn location(
    flag: &str,
    text: &str,
    kind: &str,
    fields: &Fields<'_>,
    folder: &str,
) -> Result<CacheLocation, CommandError> {
    let needs = |key: &str| refuse(flag, text, kind, &format!("`{key}=` is required"));
    match kind {
        "registry" => registry(flag, text, fields.get("ref").ok_or_else(|| needs("ref"))?),
        "local" => Ok(CacheLocation::Directory {
            path: PathBuf::from(fields.get(folder).ok_or_else(|| needs(folder))?),
            tag: fields.get("tag").unwrap_or("latest").to_owned(),
        }),
        other => {
            let message = kiln_grammar::suggest::with_suggestion(
                format!("unknown cache type `{other}`"),
                other,
                ["registry", "local", "inline", "gha", "s3", "azblob"],
            );
            Err(refuse(flag, text, other, &message))
        }
    }
}

fn registry(flag: &str, text: &str, name: &str) -> Result<CacheLocation, CommandError> {
    name.parse()
        .map(CacheLocation::Registry)
        .map_err(|error: kiln_store::ReferenceError| refuse(flag, text, name, &error.to_string()))
}

/// Writes every cache that was asked for.
pub fn export(
    builder: &kiln_builder::Host,
    targets: &[CacheTarget],
    built: &Built,
    quiet: bool,
) -> Result<(), CommandError> {
    for target in targets {
        let CacheTarget::Location {
            location,
            mode,
            compression,
            ignore_error,
        } = target
        else {
            continue;
        };
        match export_cache(builder, built, location, *mode, *compression) {
            Ok(layers) if !quiet => {
                output::talk(&format!("cache of {layers} layers written to {location}"));
            }
            Ok(_) => {}
            Err(error) if *ignore_error => output::talk(&format!("warning: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
