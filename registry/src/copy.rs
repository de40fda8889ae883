//! Copy: a manifest or index, whole, from one repository to another.
//!
//! Bytes stream from the source straight into the upload, without a file between them; the target verifies their digests. What the target has is not
//! read from the source, and blobs within one registry are taken over there. Digests never change.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kiln_store::{Descriptor, Digest, Index, Manifest, media_type};

use crate::content::{BlobUpload, ManifestName, Placed, Repository, Resolved};
use crate::error::{Error, Result};
use crate::event::{BlobOutcome, Event, Events};
use crate::source::RepositoryBlob;

/// Blobs under way in all stages; how many bodies move at once is the transport's matter.
const BLOBS: usize = 64;

/// Indexes may hold indexes. Deeper ones than this do not exist outside of attacks.
const DEEPEST: usize = 4;

/// What a copy did.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The digest of what was copied.
    pub digest: Digest,
    /// Blobs sent.
    pub sent: usize,
    /// Blobs taken over within the target's registry.
    pub mounted: usize,
    /// Blobs that were there.
    pub skipped: usize,
    /// Manifests put, indexes and names included.
    pub manifests: usize,
}

/// Copies a manifest or a whole index under these names; without names, by its digest. `same_registry` is the path of the source if both are repositories
/// of one registry.
pub async fn copy(
    from: &Arc<dyn Repository>,
    name: &ManifestName,
    to: &dyn Repository,
    names: &[ManifestName],
    same_registry: Option<&str>,
    events: Events<'_>,
) -> Result<Copied> {
    let root = from.manifest(name).await?;
    let digest = root.descriptor.digest;
    events(Event::Resolved {
        reference: from.name(),
        digest,
    });
    let mut copied = Copied {
        digest,
        sent: 0,
        mounted: 0,
        skipped: 0,
        manifests: 0,
    };
    let mut missing = Vec::new();
    for name in names {
        if to
            .head_manifest(name)
            .await?
            .is_none_or(|there| there.digest != digest)
        {
            missing.push(name.clone());
        }
    }
    if missing.is_empty() && !names.is_empty() {
        return Ok(copied);
    }
    let by_digest = ManifestName::Digest(digest);
    if to.head_manifest(&by_digest).await?.is_none() {
        let (manifests, blobs) = collect(from.as_ref(), to, &root).await?;
        send_blobs(from, to, blobs, same_registry, &mut copied, events).await?;
        for manifest in &manifests {
            to.put_manifest(&ManifestName::Digest(manifest.descriptor.digest), manifest)
                .await?;
            copied.manifests += 1;
        }
    }
    if missing.is_empty() {
        missing.push(by_digest);
    }
    for name in &missing {
        to.put_manifest(name, &root).await?;
        copied.manifests += 1;
    }
    Ok(copied)
}

/// The manifests below a document that the target lacks, children first, and the blobs that they need.
async fn collect(
    from: &dyn Repository,
    to: &dyn Repository,
    root: &Resolved,
) -> Result<(Vec<Resolved>, Vec<Descriptor>)> {
    let mut manifests = Vec::new();
    let mut blobs = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![(root.clone(), 0)];
    while let Some((document, depth)) = waiting.pop() {
        if !media_type::is_index(&document.descriptor.media_type) {
            let manifest: Manifest = parse(from, &document)?;
            let foreign = |layer: &Descriptor| {
                media_type::is_foreign_layer(&layer.media_type) && layer.urls.is_some()
            };
            let all = std::iter::once(manifest.config)
                .chain(manifest.layers.into_iter().filter(|layer| !foreign(layer)));
            blobs.extend(all.filter(|blob| seen.insert(blob.digest)));
            continue;
        }
        if depth >= DEEPEST {
            return Err(Error::protocol(
                from.name(),
                format!("its indexes are nested more than {DEEPEST} deep"),
            ));
        }
        let index: Index = parse(from, &document)?;
        for child in index
            .manifests
            .iter()
            .filter(|child| seen.insert(child.digest))
        {
            let name = ManifestName::Digest(child.digest);
            if to.head_manifest(&name).await?.is_none() {
                let resolved = from.manifest(&name).await?;
                manifests.push(resolved.clone());
                waiting.push((resolved, depth + 1));
            }
        }
    }
    // Found from the root down, put from the leaves up.
    manifests.reverse();
    Ok((manifests, blobs))
}

async fn send_blobs(
    from: &Arc<dyn Repository>,
    to: &dyn Repository,
    mut blobs: Vec<Descriptor>,
    same_registry: Option<&str>,
    copied: &mut Copied,
    events: Events<'_>,
) -> Result<()> {
    // Configurations first: they are small and show what the target can do. Then the largest, so that it is not the last.
    blobs.sort_by_key(|blob| {
        (
            media_type::layer_compression(&blob.media_type).is_some(),
            std::cmp::Reverse(blob.size),
        )
    });
    events(Event::Planned {
        blobs: blobs.len(),
        bytes: blobs.iter().map(|blob| blob.size).sum(),
    });
    let origins: Vec<String> = same_registry.map(str::to_owned).into_iter().collect();
    let work = stream::iter(blobs).map(|descriptor| {
        let source = Arc::new(RepositoryBlob {
            repository: from.clone(),
            descriptor: descriptor.clone(),
        });
        let upload = BlobUpload {
            descriptor,
            source,
            origins: origins.clone(),
        };
        async move {
            let digest = upload.descriptor.digest;
            events(Event::BlobStarted {
                digest,
                size: upload.descriptor.size,
            });
            let placed = to.put_blob(&upload).await?;
            let outcome = match placed {
                Placed::Sent => BlobOutcome::Transferred,
                Placed::Present => BlobOutcome::Present,
                Placed::Mounted => BlobOutcome::Mounted,
            };
            events(Event::BlobDone { digest, outcome });
            Ok::<_, Error>(placed)
        }
    });
    let placed: Vec<Placed> = work.buffer_unordered(BLOBS).try_collect().await?;
    copied.sent += placed
        .iter()
        .filter(|placed| **placed == Placed::Sent)
        .count();
    copied.mounted += placed
        .iter()
        .filter(|placed| **placed == Placed::Mounted)
        .count();
    copied.skipped += placed
        .iter()
        .filter(|placed| **placed == Placed::Present)
        .count();
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(from: &dyn Repository, document: &Resolved) -> Result<T> {
    serde_json::from_slice(&document.bytes).map_err(|error| {
        Error::protocol(
            from.name(),
            format!(
                "manifest {} is not valid: {error}",
                document.descriptor.digest
            ),
        )
    })
}
