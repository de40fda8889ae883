//! `--annotation`: notes on the documents of an image.

use kiln_builder::{Annotation, AnnotationLevel};

use super::super::fields::refuse;
use crate::error::CommandError;

/// `[type[platform],...:]key=value` of `--annotation`.
pub(super) fn annotations(texts: &[String]) -> Result<Vec<Annotation>, CommandError> {
    const FLAG: &str = "--annotation";
    let mut all = Vec::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| refuse(FLAG, text, text, "KEY=VALUE is expected"))?;
        let (kinds, key) = match name.split_once(':') {
            Some((kinds, key)) => (kinds, key),
            None => ("manifest", name),
        };
        if key.is_empty() {
            return Err(refuse(FLAG, text, text, "the annotation has no name"));
        }
        for kind in kinds.split(',') {
            let (kind, platform) = match kind.split_once('[') {
                Some((kind, rest)) => (kind, Some(rest.trim_end_matches(']'))),
                None => (kind, None),
            };
            let level = match kind {
                "manifest" => AnnotationLevel::Manifest,
                "manifest-descriptor" => AnnotationLevel::ManifestDescriptor,
                "index" => AnnotationLevel::Index,
                "index-descriptor" => AnnotationLevel::IndexDescriptor,
                other => {
                    let reason = format!("unknown annotation type `{other}`");
                    return Err(refuse(FLAG, text, other, &reason));
                }
            };
            let platform = platform
                .map(|text| text.parse().map_err(CommandError::usage))
                .transpose()?;
            all.push(Annotation {
                level,
                platform,
                key: key.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    Ok(all)
}
