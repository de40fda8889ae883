//! Manifests and indexes on the way to an image: from the store where it has them, else from the repository.

use bytes::Bytes;
use kiln_store::{Digest, Index, Manifest, Platform, Reference, Store, media_type};

use crate::content::{ManifestName, Repository, Resolved};
use crate::error::{Error, Result};
use crate::remote::decide_media_type;
use crate::source::blocking;

use super::{check_size, keep, stored};

/// What a name led to.
#[derive(Debug)]
pub(super) struct Documents {
    /// The index, if the name meant one.
    index: Option<Resolved>,
    resolved: Resolved,
    /// The manifest of the image.
    pub(super) manifest: Manifest,
}

impl Documents {
    /// What the name meant.
    pub(super) fn root_digest(&self) -> Digest {
        self.index
            .as_ref()
            .unwrap_or(&self.resolved)
            .descriptor
            .digest
    }

    /// Puts the documents into the store, as received.
    pub(super) fn keep(&self, store: &Store) -> Result<()> {
        for document in std::iter::once(&self.resolved).chain(&self.index) {
            keep(store, &document.descriptor.digest, &document.bytes)?;
        }
        Ok(())
    }
}

/// Follows a name to the manifest for the platform.
pub(super) async fn fetch(
    repository: &dyn Repository,
    name: &ManifestName,
    store: &Store,
    platform: &Platform,
    known_as: Option<&Reference>,
) -> Result<Documents> {
    let root = root(repository, name, store, known_as).await?;
    let what = format!("{}:{name}", repository.name());
    if !media_type::is_index(&root.descriptor.media_type) {
        let manifest = parse(&what, &root.bytes)?;
        return Ok(Documents {
            index: None,
            resolved: root,
            manifest,
        });
    }
    let index: Index = parse(&what, &root.bytes)?;
    let (descriptors, platforms): (Vec<_>, Vec<_>) = index.images().unzip();
    let Some(position) = platform.best_match(&platforms) else {
        let available = platforms
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let available = if available.is_empty() {
            "no image at all".to_owned()
        } else {
            available
        };
        return Err(Error::NoPlatform {
            reference: what,
            wanted: platform.to_string(),
            available,
        });
    };
    let descriptor = descriptors[position];
    let resolved = by_digest(repository, &descriptor.digest, store).await?;
    check_size("manifest", descriptor, resolved.bytes.len() as u64)?;
    if media_type::is_index(&resolved.descriptor.media_type) {
        return Err(Error::protocol(
            what,
            format!("{} in its index is another index", descriptor.digest),
        ));
    }
    let manifest = parse(&what, &resolved.bytes)?;
    Ok(Documents {
        index: Some(root),
        resolved,
        manifest,
    })
}

/// What the name means now. If the store knows the name, a HEAD may show that nothing changed: it costs less than a GET, and no quota.
async fn root(
    repository: &dyn Repository,
    name: &ManifestName,
    store: &Store,
    known_as: Option<&Reference>,
) -> Result<Resolved> {
    let digest = match (name, known_as) {
        (ManifestName::Digest(digest), _) => Some(*digest),
        (ManifestName::Tag(_), Some(reference)) if is_known(store, reference).await? => repository
            .head_manifest(name)
            .await?
            .map(|found| found.digest),
        _ => None,
    };
    match digest {
        Some(digest) => by_digest(repository, &digest, store).await,
        None => repository.manifest(name).await,
    }
}

async fn is_known(store: &Store, reference: &Reference) -> Result<bool> {
    let (store, reference) = (store.clone(), reference.clone());
    blocking("reading the store", move || {
        Ok(store.resolve(&reference)?.is_some())
    })
    .await
}

async fn by_digest(
    repository: &dyn Repository,
    digest: &Digest,
    store: &Store,
) -> Result<Resolved> {
    if let Some(bytes) = stored(store, digest).await? {
        let bytes = Bytes::from(bytes);
        let kind = decide_media_type(&format!("stored content {digest}"), "", &bytes)?;
        let descriptor = kiln_store::Descriptor::new(kind, *digest, bytes.len() as u64);
        return Ok(Resolved { descriptor, bytes });
    }
    repository.manifest(&ManifestName::Digest(*digest)).await
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::protocol(what, format!("its manifest is not valid: {error}")))
}
