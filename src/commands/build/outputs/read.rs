//! One `--output`: its fields, read and checked.

use std::path::PathBuf;

use kiln_builder::{Annotation, AnnotationLevel};
use kiln_store::{Compression, ManifestKind, Platform};

use super::super::fields::{Fields, refuse};
use super::{ImageOutput, Output};
use crate::error::CommandError;
use crate::output;

/// One `--output` while it is read.
pub(super) struct Reader<'a> {
    fields: Fields<'a>,
    kind: String,
    image: ImageOutput,
    destination: Option<PathBuf>,
    to_stdout: bool,
    split: Option<bool>,
    delete: bool,
    tar: bool,
    level: Option<u8>,
    compression: Option<String>,
}

const FLAG: &str = "--output";
const OF_IMAGES: [&str; 17] = [
    "name",
    "push",
    "push-by-digest",
    "registry.insecure",
    "oci-mediatypes",
    "oci-artifact",
    "unpack",
    "dangling-name-prefix",
    "name-canonical",
    "compression",
    "compression-level",
    "force-compression",
    "rewrite-timestamp",
    "store",
    "prefer-nondist-layers",
    "compatibility-version",
    "attestation-prefix",
];
const OF_FILES: [&str; 6] = ["dest", "tar", "mode", "platform-split", "context", "type"];

impl<'a> Reader<'a> {
    pub(super) fn read(text: &'a str, annotations: &[Annotation]) -> Result<Output, CommandError> {
        if text == "-" {
            return Ok(Output::Tar {
                destination: None,
                split: None,
            });
        }
        // A value without any field is a folder, as for buildx.
        if !text.contains('=') {
            return match text.is_empty() {
                true => Err(CommandError::usage("--output has no value")),
                false => Ok(Output::Local {
                    destination: PathBuf::from(text),
                    split: None,
                    delete: false,
                }),
            };
        }
        let fields = Fields::read(FLAG, text)?;
        let kind = match fields.get("type") {
            Some(kind) => kind.to_owned(),
            None => return Err(refuse(FLAG, text, "", "type is required for output")),
        };
        let mut reader = Self {
            image: ImageOutput::new(annotations),
            destination: None,
            to_stdout: false,
            split: None,
            delete: false,
            tar: true,
            level: None,
            compression: None,
            fields,
            kind,
        };
        reader.all_fields()?;
        reader.compress()?;
        reader.output()
    }

    fn all_fields(&mut self) -> Result<(), CommandError> {
        let fields: Vec<(String, Option<String>)> = self
            .fields
            .iter()
            .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
            .collect();
        for (key, value) in &fields {
            self.field(key, value.as_deref())?;
        }
        Ok(())
    }

    fn field(&mut self, key: &str, value: Option<&str>) -> Result<(), CommandError> {
        let fields = &self.fields;
        match key {
            "type" => {}
            "name" => {
                for name in fields.value(key, value)?.split(',') {
                    let name = name
                        .trim()
                        .parse()
                        .map_err(|error| fields.refuse(name, &format!("{error}")))?;
                    self.image.names.push(name);
                }
            }
            "push" => self.image.push = fields.truth(key, value)?,
            "push-by-digest" => {
                self.image.by_digest = fields.truth(key, value)?;
                self.image.push |= self.image.by_digest;
            }
            "store" => self.image.keep = fields.truth(key, value)?,
            "oci-mediatypes" => {
                self.image.options.kind = match fields.truth(key, value)? {
                    true => ManifestKind::Oci,
                    false => ManifestKind::Docker,
                };
            }
            "compression" => self.compression = Some(fields.value(key, value)?.to_owned()),
            "compression-level" => {
                let text = fields.value(key, value)?;
                let level = text
                    .parse()
                    .map_err(|_| fields.refuse(text, "a level is a number from 1 to 22"))?;
                self.level = Some(level);
            }
            "force-compression" => {
                self.image.options.force_compression = fields.truth(key, value)?;
            }
            // kiln writes times that way whenever SOURCE_DATE_EPOCH is set, without a second pass.
            // Layers of the store are always unpacked, and found by every digest of their image.
            "rewrite-timestamp" | "unpack" | "name-canonical" => {
                fields.truth(key, value)?;
            }
            "registry.insecure" => self.image.insecure = fields.truth(key, value)?,
            "oci-artifact"
            | "prefer-nondist-layers"
            | "dangling-name-prefix"
            | "context"
            | "compatibility-version"
            | "attestation-prefix" => {
                output::talk(&format!(
                    "note: --output {key} has no effect: it is for what only other builders have"
                ));
            }
            "mode" => {
                self.delete = match fields.value(key, value)? {
                    "copy" => false,
                    "delete" => true,
                    other => return Err(fields.refuse(other, "a mode is copy or delete")),
                }
            }
            "platform-split" => self.split = Some(fields.truth(key, value)?),
            "tar" => self.tar = fields.truth(key, value)?,
            "dest" => match fields.value(key, value)? {
                "-" => self.to_stdout = true,
                path => self.destination = Some(PathBuf::from(path)),
            },
            key => self.annotation(key, value)?,
        }
        Ok(())
    }

    /// `annotation.KEY`, `annotation-index[PLATFORM].KEY` and their like.
    fn annotation(&mut self, key: &str, value: Option<&str>) -> Result<(), CommandError> {
        let known = OF_IMAGES.iter().chain(&OF_FILES).copied();
        let Some((head, name)) = key
            .starts_with("annotation")
            .then(|| split_head(key))
            .flatten()
        else {
            return Err(self.fields.unknown(key, known));
        };
        let (level, platform) = match head.split_once('[') {
            Some((level, rest)) => (level, rest.strip_suffix(']')),
            None => (head, None),
        };
        let level = match level {
            "annotation" | "annotation-manifest" => AnnotationLevel::Manifest,
            "annotation-manifest-descriptor" => AnnotationLevel::ManifestDescriptor,
            "annotation-index" => AnnotationLevel::Index,
            "annotation-index-descriptor" => AnnotationLevel::IndexDescriptor,
            _ => return Err(self.fields.unknown(key, known)),
        };
        let platform = platform
            .map(|text| {
                text.parse::<Platform>()
                    .map_err(|error| self.fields.refuse(text, &error.to_string()))
            })
            .transpose()?;
        self.image.options.annotations.push(Annotation {
            level,
            platform,
            key: name.to_owned(),
            value: self.fields.value(key, value)?.to_owned(),
        });
        Ok(())
    }

    fn compress(&mut self) -> Result<(), CommandError> {
        let level = self.level;
        let most = |most: u8, name: &str| match level {
            Some(level) if level > most => Err(self.fields.refuse(
                &level.to_string(),
                &format!("the levels of {name} are 1 to {most}"),
            )),
            level => Ok(level),
        };
        let options = match self.compression.as_deref() {
            None if level.is_some() => {
                Some(Compression::Gzip(most(9, "gzip")?.unwrap_or(DEFAULT_GZIP)))
            }
            None => None,
            Some("gzip") => Some(Compression::Gzip(most(9, "gzip")?.unwrap_or(DEFAULT_GZIP))),
            Some("zstd") => Some(Compression::Zstd(most(22, "zstd")?.unwrap_or(DEFAULT_ZSTD))),
            Some("uncompressed") => Some(Compression::None),
            Some(other) => {
                return Err(self
                    .fields
                    .refuse(other, "compression is gzip, zstd or uncompressed"));
            }
        };
        self.image.options.compression = options;
        Ok(())
    }

    fn output(mut self) -> Result<Output, CommandError> {
        let destination = self.destination.take();
        let needs = |what: &str| {
            self.fields
                .refuse(what, &format!("`dest=` is required for {what}"))
        };
        match self.kind.as_str() {
            "image" => Ok(Output::Image(self.image)),
            "registry" => {
                self.image.push = true;
                Ok(Output::Image(self.image))
            }
            "docker" if destination.is_none() && !self.to_stdout => Ok(Output::Image(self.image)),
            "docker" => Ok(Output::DockerArchive {
                destination,
                image: self.image,
            }),
            "oci" if !self.tar && destination.is_none() => Err(needs("oci")),
            "oci" => Ok(Output::Layout {
                destination,
                tar: self.tar,
                image: self.image,
            }),
            "local" => Ok(Output::Local {
                destination: destination.ok_or_else(|| needs("local"))?,
                split: self.split,
                delete: self.delete,
            }),
            "tar" => Ok(Output::Tar {
                destination,
                split: self.split,
            }),
            "cacheonly" => Ok(Output::CacheOnly),
            other => {
                let message = kiln_grammar::suggest::with_suggestion(
                    format!("unknown output type `{other}`"),
                    other,
                    [
                        "image",
                        "registry",
                        "local",
                        "tar",
                        "oci",
                        "docker",
                        "cacheonly",
                    ],
                );
                Err(self.fields.refuse(other, &message))
            }
        }
    }
}

/// gzip's usual level.
const DEFAULT_GZIP: u8 = 6;
/// Zstandard's usual level.
const DEFAULT_ZSTD: u8 = 3;

/// `head.name`, where the head may hold a platform in brackets.
fn split_head(key: &str) -> Option<(&str, &str)> {
    let from = key.find(']').unwrap_or(0);
    let dot = key[from..].find('.')? + from;
    Some((&key[..dot], &key[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Output, String> {
        Reader::read(text, &[]).map_err(|error| error.text())
    }

    #[test]
    fn short_forms() {
        assert_eq!(
            read("out").unwrap(),
            Output::Local {
                destination: "out".into(),
                split: None,
                delete: false
            }
        );
        assert!(read("-").unwrap().to_stdout());
        assert!(read("type=tar").unwrap().to_stdout());
        assert_eq!(read("type=cacheonly").unwrap(), Output::CacheOnly);
    }

    #[test]
    fn images() {
        let text = "type=image,\"name=a.b/c:1,d\",push=true,compression=zstd,compression-level=19,\
                    oci-mediatypes=false,registry.insecure=true,annotation.k=v,annotation-index[linux/arm64].a.b=c";
        let Output::Image(image) = read(text).unwrap() else {
            panic!("no image");
        };
        assert_eq!(image.names.len(), 2);
        assert!(image.push && image.keep && image.insecure);
        assert_eq!(image.options.compression, Some(Compression::Zstd(19)));
        assert_eq!(image.options.kind, ManifestKind::Docker);
        let annotations: Vec<_> = image
            .options
            .annotations
            .iter()
            .map(|one| (one.level, one.platform.is_some(), one.key.as_str()))
            .collect();
        assert_eq!(
            annotations,
            [
                (AnnotationLevel::Manifest, false, "k"),
                (AnnotationLevel::Index, true, "a.b")
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_underlined() {
        let check = |text: &str, expected: &str| assert_eq!(read(text).unwrap_err(), expected);
        check(
            "type=image,psh=true",
            "--output: unknown field `psh` (did you mean push?)\n  type=image,psh=true\n             ^^^",
        );
        check(
            "type=imge",
            "--output: unknown output type `imge` (did you mean image?)\n  type=imge\n       ^^^^",
        );
        check(
            "dest=out",
            "--output: type is required for output\n  dest=out",
        );
        check(
            "type=image,compression=xz",
            "--output: compression is gzip, zstd or uncompressed\n  type=image,compression=xz\n                         ^^",
        );
        check(
            "type=local",
            "--output: `dest=` is required for local\n  type=local\n       ^^^^^",
        );
    }
}
