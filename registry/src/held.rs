//! Which images of an index are taken out of the store: an index may be here for some of its platforms only.

use std::collections::BTreeSet;

use bytes::Bytes;
use kiln_store::{Descriptor, Digest, Index, MANIFEST_LIMIT, Platform, Store, media_type};

use crate::content::Resolved;
use crate::copy::Platforms;
use crate::error::{Error, Result};
use crate::remote::decide_media_type;

/// The annotation by which `BuildKit`'s attestations in an index name their image.
pub(crate) const ATTESTED: &str = "vnd.docker.reference.digest";

/// What is taken.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// The document of an image or index; an index of some platforms alone is a new one.
    pub(crate) root: Resolved,
    /// True if an index was named and only one platform's image could be taken.
    pub(crate) single_platform: bool,
}

/// Chooses from what a digest names. Without a wish that is all of an index, or this machine's image where not all of it is here; a wish is
/// followed or refused.
pub(crate) fn choose(store: &Store, root: &Digest, wish: Option<&Platforms>) -> Result<Choice> {
    let document = read_document(store, root)?;
    let whole = |root| Choice {
        root,
        single_platform: false,
    };
    if !media_type::is_index(&document.descriptor.media_type) {
        return Ok(whole(document));
    }
    let index: Index = parse(root, &document.bytes)?;
    let held = |entry: &Descriptor| Ok::<_, Error>(store.blob_size(&entry.digest)?.is_some());
    let image = |platform: &Platform| -> Result<Digest> {
        Ok(store.image_for(root, platform)?.manifest_digest)
    };
    let mut missing = Vec::new();
    for entry in &index.manifests {
        if !held(entry)? {
            missing.push(entry);
        }
    }
    match wish {
        None | Some(Platforms::All) if missing.is_empty() => Ok(whole(document)),
        None => Ok(Choice {
            root: read_document(store, &image(&Platform::host())?)?,
            single_platform: true,
        }),
        Some(Platforms::All) => Err(incomplete(root, &index, &missing)),
        Some(Platforms::One(platform)) => Ok(whole(read_document(store, &image(platform)?)?)),
        Some(Platforms::Some(platforms)) => {
            let mut kept = BTreeSet::new();
            for platform in platforms {
                kept.insert(image(platform)?);
            }
            let mut smaller = index.clone();
            smaller.manifests.clear();
            for entry in &index.manifests {
                let about = entry.annotation(ATTESTED).map(str::parse::<Digest>);
                let belongs = kept.contains(&entry.digest)
                    || matches!(about, Some(Ok(about)) if kept.contains(&about));
                if belongs && held(entry)? {
                    smaller.manifests.push(entry.clone());
                }
            }
            if smaller == index {
                return Ok(whole(document));
            }
            let bytes = Bytes::from(smaller.to_bytes()?);
            let descriptor = Descriptor::new(
                &document.descriptor.media_type,
                Digest::sha256(&bytes),
                bytes.len() as u64,
            );
            Ok(whole(Resolved { descriptor, bytes }))
        }
    }
}

fn incomplete(root: &Digest, index: &Index, missing: &[&Descriptor]) -> Error {
    let names = |missing_ones: bool| {
        let platforms = index.images().filter(|(entry, _)| {
            missing.iter().any(|gone| gone.digest == entry.digest) == missing_ones
        });
        let names: Vec<String> = platforms
            .map(|(_, platform)| platform.to_string())
            .collect();
        match names.is_empty() {
            true => "attestations".to_owned(),
            false => names.join(", "),
        }
    };
    Error::Options(format!(
        "the store holds only a part of {root}: {} without {}; choose with `--platform`, or copy the rest into the store first",
        names(false),
        names(true)
    ))
}

/// A document of the store as it is.
pub(crate) fn read_document(store: &Store, digest: &Digest) -> Result<Resolved> {
    let bytes = Bytes::from(store.read_blob(digest, MANIFEST_LIMIT)?);
    let kind = decide_media_type(&format!("image {digest}"), "", &bytes)?;
    Ok(Resolved {
        descriptor: Descriptor::new(kind, *digest, bytes.len() as u64),
        bytes,
    })
}

/// Reads JSON of the store.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(digest: &Digest, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::protocol(
            format!("stored content {digest}"),
            format!("it is not valid: {error}"),
        )
    })
}
