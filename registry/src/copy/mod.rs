//! Copy: an image or a whole index, with what belongs to it, from one place to another.
//!
//! ```text
//! GET manifest at the source  ||  HEAD names at the target      the same: only what belongs to it is looked at
//! HEAD by digest at the target                                  there: only names are put
//! documents below, chosen by platform -> blobs at once (mount, else source -> target) -> manifests, children first -> names
//! signatures, attestations, ... of what was copied: the same way
//! ```
//!
//! Bytes stream from the source straight into the target, which verifies their digests. What the target has is not read from the source. Digests never
//! change, unless platforms are left out of an index or a conversion is asked for.

mod belongings;
mod blobs;
mod convert;
mod selection;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kiln_store::{Compression, Digest, Platform, media_type};

use crate::content::{ManifestName, Repository, Resolved};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::transport::Traffic;

use blobs::Blobs;
use selection::Selection;

/// Small requests of one copy under way at once.
const AT_ONCE: usize = 16;

/// Which images of an index are copied.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Platforms {
    /// The index as it is.
    #[default]
    All,
    /// The image for this platform alone, without the index.
    One(Platform),
    /// The images for these platforms, under an index of them alone: a new one with a digest of its own.
    Some(Vec<Platform>),
}

/// What is made anew on the way. The digests of manifests change with it.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    /// Docker's media types become the OCI's.
    pub to_oci: bool,
    /// Layers that are not compressed this way are compressed anew.
    pub compression: Option<Compression>,
    /// Where compressed layers lie until they are sent, as files without a name. Needed for a compression.
    pub scratch: Option<PathBuf>,
}

impl Conversion {
    fn is_nothing(&self) -> bool {
        !self.to_oci && self.compression.is_none()
    }
}

/// Choices of a copy.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// Which images of an index.
    pub platforms: Platforms,
    /// Whether what belongs to an image (signatures, attestations, bills of materials) comes along.
    pub companions: bool,
    /// The repository of the source, if both are repositories of one registry: blobs are taken over there.
    pub origin: Option<String>,
    /// What is made anew.
    pub conversion: Conversion,
    /// True to find out what would be done and do nothing.
    pub dry_run: bool,
}

/// What a copy did, or would do.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The digest of what is at the target now.
    pub digest: Digest,
    /// The digest at the source.
    pub source: Digest,
    /// Blobs sent.
    pub sent: usize,
    /// Bytes of the blobs sent.
    pub sent_bytes: u64,
    /// Blobs taken over within the target's registry.
    pub mounted: usize,
    /// Blobs that were there.
    pub skipped: usize,
    /// Manifests put, indexes included.
    pub manifests: usize,
    /// Signatures, attestations and the like that were found, copied or there.
    pub companions: usize,
    /// What both sides cost.
    pub traffic: Traffic,
}

/// Copies what a name means to these names; without names, by its digest.
pub async fn copy(
    from: &Arc<dyn Repository>,
    name: &ManifestName,
    to: &dyn Repository,
    names: &[ManifestName],
    options: &CopyOptions,
    events: Events<'_>,
) -> Result<Copied> {
    let heads = stream::iter(names)
        .map(|name| async move { Ok::<_, Error>((name, to.head_manifest(name).await?)) })
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>();
    let (root, heads) = tokio::try_join!(from.manifest(name), heads)?;
    events(Event::Resolved {
        reference: from.name(),
        digest: root.descriptor.digest,
    });
    let was_there = heads.iter().any(|(_, found)| found.is_some());
    let mut work = Work {
        from,
        to,
        options,
        blobs: Blobs::new(from, to, options, events),
        manifests: 0,
        update: was_there,
    };
    let source = root.descriptor.digest;
    let chosen = selection::choose(from.as_ref(), root, &options.platforms).await?;
    let (root, copied_documents) = if options.conversion.is_nothing() {
        let missing: Vec<ManifestName> = heads
            .into_iter()
            .filter(|(_, found)| {
                found
                    .as_ref()
                    .is_none_or(|there| there.digest != chosen.digest())
            })
            .map(|(name, _)| name.clone())
            .collect();
        let root = chosen.root.clone();
        let documents = work.put(chosen, &missing, names.is_empty()).await?;
        (root, documents)
    } else {
        let selection = Selection::read(from.as_ref(), None, chosen, false).await?;
        let converted = convert::convert(&mut work.blobs, selection, &options.conversion).await?;
        let root = converted.root.clone();
        work.put_documents(converted, names, names.is_empty())
            .await?;
        (root, Vec::new())
    };
    let mut companions = 0;
    if options.companions && to.keeps_companions() {
        companions = work.put_belongings(copied_documents).await?;
    }
    let counted = work.blobs.counted();
    Ok(Copied {
        digest: root.descriptor.digest,
        source,
        sent: counted.sent,
        sent_bytes: counted.sent_bytes,
        mounted: counted.mounted,
        skipped: counted.skipped,
        manifests: work.manifests,
        companions,
        traffic: from.traffic() + to.traffic(),
    })
}

/// A copy under way.
struct Work<'a> {
    from: &'a Arc<dyn Repository>,
    to: &'a dyn Repository,
    options: &'a CopyOptions,
    blobs: Blobs<'a>,
    manifests: usize,
    /// Whether the names meant something else before: then parts of it are probably there.
    update: bool,
}

impl Work<'_> {
    /// Puts a document with all below it under the names that lack it; gives the digests of all documents that are at the target afterwards.
    async fn put(
        &mut self,
        chosen: selection::Chosen,
        missing: &[ManifestName],
        unnamed: bool,
    ) -> Result<Vec<Digest>> {
        let known = chosen.documents();
        if missing.is_empty() && !unnamed {
            self.blobs.skip_all(&chosen.root);
            return Ok(known);
        }
        let by_digest = ManifestName::Digest(chosen.digest());
        // The rewritten index is nowhere else, and a place that says it has a document has all below it.
        if self.to.head_manifest(&by_digest).await?.is_some() {
            self.blobs.skip_all(&chosen.root);
            self.put_names(&chosen.root, missing).await?;
            return Ok(known);
        }
        let target = self.update.then_some(self.to);
        let selection = Selection::read(self.from.as_ref(), target, chosen, true).await?;
        let digests = selection.digests();
        self.blobs.send(&selection.blobs).await?;
        self.put_documents(selection, missing, unnamed).await?;
        Ok(digests)
    }

    /// Puts documents whose blobs are there, children first, the root last.
    async fn put_documents(
        &mut self,
        selection: Selection,
        names: &[ManifestName],
        unnamed: bool,
    ) -> Result<()> {
        self.manifests += selection.documents.len();
        if !self.options.dry_run {
            let (indexes, images): (Vec<_>, Vec<_>) = selection
                .documents
                .iter()
                .partition(|document| media_type::is_index(&document.descriptor.media_type));
            stream::iter(images)
                .map(|document| self.put_by_digest(document))
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
            for document in indexes {
                self.put_by_digest(document).await?;
            }
        }
        if unnamed {
            self.manifests += 1;
            if self.options.dry_run {
                return Ok(());
            }
            return self.put_by_digest(&selection.root).await;
        }
        self.put_names(&selection.root, names).await
    }

    async fn put_by_digest(&self, document: &Resolved) -> Result<()> {
        let name = ManifestName::Digest(document.descriptor.digest);
        self.to.put_manifest(&name, document).await
    }

    async fn put_names(&mut self, root: &Resolved, names: &[ManifestName]) -> Result<()> {
        self.manifests += names.len();
        if self.options.dry_run {
            return Ok(());
        }
        for name in names {
            if let ManifestName::Digest(digest) = name
                && *digest != root.descriptor.digest
            {
                let actual = root.descriptor.digest;
                return Err(Error::protocol(
                    format!("{}@{digest}", self.to.name()),
                    format!("what is copied has the digest {actual}, so it cannot get another one"),
                ));
            }
        }
        stream::iter(names)
            .map(|name| self.to.put_manifest(name, root))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }
}
