//! Manifests and indexes as they come: which of the two it is, and what an index offers.

use serde::Deserialize;

use crate::{Descriptor, Digest, Error, Index, Manifest, Platform, Result, media_type};

/// What content with a manifest's digest turned out to be.
#[derive(Debug, Clone)]
pub(crate) enum Document {
    Manifest(Box<Manifest>),
    Index(Box<Index>),
}

impl Index {
    /// The images of this index with their platforms, attestations left out. One image without a platform counts as this
    /// machine's.
    pub fn images(&self) -> impl Iterator<Item = (&Descriptor, Platform)> {
        let alone = self.manifests.len() == 1;
        self.manifests
            .iter()
            .filter_map(move |descriptor| match &descriptor.platform {
                Some(platform) if platform.is_unknown() => None,
                Some(platform) => Some((descriptor, platform.clone().normalized())),
                None => alone.then(|| (descriptor, Platform::host())),
            })
    }
}

/// Names for a message.
pub(super) fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "no image at all".to_owned();
    }
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Reads bytes as a manifest or an index: by media type, or by shape when none is written.
pub(super) fn parse_document(digest: &Digest, bytes: &[u8]) -> Result<Document> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
    }
    let fail = |reason: String| Error::Document {
        what: "manifest",
        digest: *digest,
        reason,
    };
    let parse = |error: serde_json::Error| fail(error.to_string());
    let shape: Shape = serde_json::from_slice(bytes).map_err(parse)?;
    if shape.config.is_some() && shape.manifests.is_some() {
        return Err(fail("it is both an image and an index".to_owned()));
    }
    match shape.media_type.as_deref() {
        Some(name) if media_type::is_schema1(name) => Err(fail(
            "it has Docker's old schema 1: push the image again with a current tool".to_owned(),
        )),
        Some(name) if media_type::is_index(name) => Ok(Document::Index(
            serde_json::from_slice(bytes).map_err(parse)?,
        )),
        None | Some("") if shape.manifests.is_some() => Ok(Document::Index(
            serde_json::from_slice(bytes).map_err(parse)?,
        )),
        _ => Ok(Document::Manifest(
            serde_json::from_slice(bytes).map_err(parse)?,
        )),
    }
}
