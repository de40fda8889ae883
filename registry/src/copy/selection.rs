//! The documents of a copy: chosen by platform, read from the source, with the blobs that they need.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kiln_store::{Descriptor, Digest, Index, Manifest, Platform, media_type};

use crate::content::{ManifestName, Repository, Resolved};
use crate::error::{Error, Result};
use crate::held::ATTESTED;

use super::{AT_ONCE, Platforms};

/// Indexes may hold indexes. Deeper ones than this do not exist outside of attacks.
const DEEPEST: usize = 4;

/// What is to be copied.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Its document: as received, or a rewritten index.
    pub(super) root: Resolved,
}

impl Chosen {
    pub(super) fn digest(&self) -> Digest {
        self.root.descriptor.digest
    }

    /// The digests of the root and, if it is an index, of what it names.
    pub(super) fn documents(&self) -> Vec<Digest> {
        let mut digests = vec![self.digest()];
        if media_type::is_index(&self.root.descriptor.media_type)
            && let Ok(index) = serde_json::from_slice::<Index>(&self.root.bytes)
        {
            digests.extend(index.manifests.iter().map(|child| child.digest));
        }
        digests
    }
}

/// Follows the choice of platforms. A manifest that is in no index is taken as it is: its platform stands in its configuration alone.
pub(super) async fn choose(
    from: &dyn Repository,
    root: Resolved,
    platforms: &Platforms,
) -> Result<Chosen> {
    let is_index = media_type::is_index(&root.descriptor.media_type);
    let wanted: &[Platform] = match platforms {
        _ if !is_index => return Ok(Chosen { root }),
        Platforms::All => return Ok(Chosen { root }),
        Platforms::One(platform) => std::slice::from_ref(platform),
        Platforms::Some(wanted) => wanted,
    };
    let index: Index = parse(&from.name(), &root)?;
    let mut kept = BTreeSet::new();
    for platform in wanted {
        kept.insert(find(from, &index, platform)?);
    }
    if let (Platforms::One(_), Some(digest)) = (platforms, kept.first()) {
        let root = from.manifest(&ManifestName::Digest(*digest)).await?;
        return Ok(Chosen { root });
    }
    let about_kept = |entry: &Descriptor| {
        let subject = entry.annotation(ATTESTED).map(str::parse::<Digest>);
        matches!(subject, Some(Ok(subject)) if kept.contains(&subject))
    };
    if index
        .manifests
        .iter()
        .all(|entry| kept.contains(&entry.digest) || about_kept(entry))
    {
        return Ok(Chosen { root });
    }
    let mut smaller = index.clone();
    smaller
        .manifests
        .retain(|entry| kept.contains(&entry.digest) || about_kept(entry));
    let kind = root.descriptor.media_type;
    Ok(Chosen {
        root: compose(&kind, smaller.to_bytes()?),
    })
}

fn find(from: &dyn Repository, index: &Index, platform: &Platform) -> Result<Digest> {
    let (entries, platforms): (Vec<_>, Vec<_>) = index.images().unzip();
    match platform.best_match(&platforms) {
        Some(position) => Ok(entries[position].digest),
        None => {
            let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            let available = if names.is_empty() {
                "no image at all".to_owned()
            } else {
                names.join(", ")
            };
            Err(Error::NoPlatform {
                reference: from.name(),
                wanted: platform.to_string(),
                available,
            })
        }
    }
}

/// All documents of a copy that the target lacks and the blobs that they need.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// What gets the names.
    pub(super) root: Resolved,
    /// The documents below, children first.
    pub(super) documents: Vec<Resolved>,
    /// Blobs, each once.
    pub(super) blobs: Vec<Descriptor>,
    /// All documents, those that the target has included.
    pub(super) all: Vec<Digest>,
}

impl Selection {
    /// Reads everything below the root. What `target` has is left out; without one, everything is read.
    pub(super) async fn read(
        from: &dyn Repository,
        target: Option<&dyn Repository>,
        chosen: Chosen,
        foreign_stay: bool,
    ) -> Result<Self> {
        let mut selection = Self {
            root: chosen.root.clone(),
            documents: Vec::new(),
            blobs: Vec::new(),
            all: vec![chosen.digest()],
        };
        let mut seen = BTreeSet::from([chosen.digest()]);
        let mut level = vec![chosen.root];
        for _ in 0..DEEPEST {
            let mut children = Vec::new();
            for document in &level {
                children.extend(selection.note(from, document, &mut seen, foreign_stay)?);
            }
            selection
                .all
                .extend(children.iter().map(|child| child.digest));
            let read = stream::iter(&children)
                .map(|child| fetch(from, target, child))
                .buffered(AT_ONCE)
                .try_collect::<Vec<_>>()
                .await?;
            level = read.into_iter().flatten().collect();
            if level.is_empty() {
                // Found from the root down, put from the leaves up.
                selection.documents.reverse();
                return Ok(selection);
            }
            selection.documents.extend(level.iter().cloned());
        }
        Err(Error::protocol(
            from.name(),
            format!("its indexes are nested more than {DEEPEST} deep"),
        ))
    }

    /// The digests of all documents.
    pub(super) fn digests(&self) -> Vec<Digest> {
        self.all.clone()
    }

    /// Notes the blobs of a manifest, or gives the entries of an index.
    fn note(
        &mut self,
        from: &dyn Repository,
        document: &Resolved,
        seen: &mut BTreeSet<Digest>,
        foreign_stay: bool,
    ) -> Result<Vec<Descriptor>> {
        if media_type::is_index(&document.descriptor.media_type) {
            let index: Index = parse(&from.name(), document)?;
            let new = index.manifests.into_iter();
            return Ok(new.filter(|child| seen.insert(child.digest)).collect());
        }
        let manifest: Manifest = parse(&from.name(), document)?;
        let all = std::iter::once(manifest.config).chain(manifest.layers);
        self.blobs.extend(
            all.filter(|blob| !(foreign_stay && stays_outside(blob)))
                .filter(|blob| seen.insert(blob.digest)),
        );
        Ok(Vec::new())
    }
}

/// Layers that may lie outside of registries and say where.
pub(super) fn stays_outside(layer: &Descriptor) -> bool {
    media_type::is_foreign_layer(&layer.media_type) && layer.urls.is_some()
}

/// A document of an index, unless the target has it.
async fn fetch(
    from: &dyn Repository,
    target: Option<&dyn Repository>,
    child: &Descriptor,
) -> Result<Option<Resolved>> {
    let name = ManifestName::Digest(child.digest);
    if let Some(target) = target
        && target.head_manifest(&name).await?.is_some()
    {
        return Ok(None);
    }
    let resolved = from.manifest(&name).await?;
    if resolved.descriptor.size != child.size {
        return Err(Error::Corrupt {
            what: format!("manifest {}", child.digest),
            expected: format!("{} bytes", child.size),
            actual: resolved.descriptor.size.to_string(),
        });
    }
    Ok(Some(resolved))
}

/// A document made here.
pub(super) fn compose(kind: &str, bytes: Vec<u8>) -> Resolved {
    Resolved {
        descriptor: Descriptor::new(kind, Digest::sha256(&bytes), bytes.len() as u64),
        bytes: bytes.into(),
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(from: &str, document: &Resolved) -> Result<T> {
    serde_json::from_slice(&document.bytes).map_err(|error| {
        Error::protocol(
            from,
            format!(
                "manifest {} is not valid: {error}",
                document.descriptor.digest
            ),
        )
    })
}
