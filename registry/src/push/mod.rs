//! Push: an image or index from the store into a repository.
//!
//! ```text
//! HEAD manifest by tag: the same      -> nothing to do
//! HEAD manifest by digest: it is there -> only the tag is put
//! else: configuration, layers (the largest first) at once -> manifests, children first -> tags
//! ```
//!
//! Layers that are here only unpacked are compressed first, each uploaded as soon as it is; the image is then recorded with its new manifest, which takes
//! over the names of the old one.

mod blobs;
mod local;
mod plan;

use std::collections::BTreeMap;

use kiln_store::{Digest, Reference, Store};

use crate::client::Client;
use crate::content::{ManifestName, Repository, Resolved};
use crate::copy::Platforms;
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::origins;
use crate::remote::Access;
use crate::source::blocking;
use crate::transport::Traffic;

use blobs::Blobs;
use plan::Plan;

/// Choices of a push.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// Repositories that are known to hold a blob, by its digest, besides those that the store remembers: a registry can take it from there without
    /// it being sent.
    pub origins: BTreeMap<Digest, Vec<Reference>>,
    /// Further tags for the same manifest in the same repository.
    pub tags: Vec<String>,
    /// Which images of an index; `None` means all of them or, where not all are here, this machine's.
    pub platforms: Option<Platforms>,
    /// True to send layers that are here as uncompressed blobs as they are.
    pub keep_uncompressed: bool,
}

/// What was pushed and what it cost.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The digest of the manifest or index in the registry.
    pub digest: Digest,
    /// Requests and bytes.
    pub traffic: Traffic,
    /// Blobs sent.
    pub sent: usize,
    /// Blobs taken over from another repository.
    pub mounted: usize,
    /// Blobs that were there.
    pub skipped: usize,
    /// True if the image named an index of which only some platforms are here: only one platform's image was pushed.
    pub single_platform: bool,
    /// True if layers that were here uncompressed went compressed, so that the digest is another one.
    pub repacked: bool,
}

/// Pushes an image or index from the store. Layers that are here only unpacked are compressed, and the image with its new manifest is recorded.
pub async fn push(
    client: &Client,
    store: &Store,
    image: &Digest,
    reference: &Reference,
    options: &PushOptions,
    events: Events<'_>,
) -> Result<Pushed> {
    let repository = client.repository(reference, Access::Push);
    let origins = Origins {
        registry: Some(reference.domain()),
        given: &options.origins,
    };
    let names = names(reference, &options.tags);
    let pushed = push_to(
        &repository,
        &names,
        store,
        image,
        &Wish {
            platforms: options.platforms.as_ref(),
            compress: !options.keep_uncompressed,
        },
        &origins,
        events,
    )
    .await?;
    let (store, target) = (store.clone(), reference.repository());
    let (layers, root) = (pushed.layers, pushed.pushed.digest);
    blocking("the record of origins", move || {
        store.note_origin([root], &target)?;
        origins::remember(&store, &layers, &target)
    })
    .await?;
    Ok(pushed.pushed)
}

/// What is pushed of an image, and how.
#[derive(Clone, Copy, Debug)]
struct Wish<'a> {
    platforms: Option<&'a Platforms>,
    /// Whether layers that are here as uncompressed blobs are compressed.
    compress: bool,
}

/// Where blobs may be taken over from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origins<'a> {
    /// The registry, if the target is one.
    registry: Option<&'a str>,
    given: &'a BTreeMap<Digest, Vec<Reference>>,
}

impl Origins<'_> {
    /// Paths of repositories of the same registry that the caller knows to hold a blob.
    fn given(&self, blob: &Digest) -> Vec<String> {
        let all = self.given.get(blob).into_iter().flatten();
        all.filter(|origin| Some(origin.domain()) == self.registry)
            .map(|origin| origin.path().to_owned())
            .collect()
    }
}

/// A finished push and the layers that the target now holds.
struct Done {
    pushed: Pushed,
    layers: Vec<kiln_store::Descriptor>,
}

/// Pushes into any repository, such as an image layout (`kiln save`), under these names.
pub async fn push_into(
    repository: &dyn Repository,
    names: &[ManifestName],
    store: &Store,
    image: &Digest,
    platforms: Option<&Platforms>,
    events: Events<'_>,
) -> Result<Pushed> {
    let origins = Origins {
        registry: None,
        given: &BTreeMap::new(),
    };
    let wish = Wish {
        platforms,
        compress: false,
    };
    Ok(
        push_to(repository, names, store, image, &wish, &origins, events)
            .await?
            .pushed,
    )
}

async fn push_to(
    repository: &dyn Repository,
    names: &[ManifestName],
    store: &Store,
    image: &Digest,
    wish: &Wish<'_>,
    origins: &Origins<'_>,
    events: Events<'_>,
) -> Result<Done> {
    let plan = Plan::make(store, image, wish.platforms, wish.compress).await?;
    let repacked = plan.is_repacked();
    let layers = |plan: &Plan| {
        plan.images
            .iter()
            .flat_map(|image| image.manifest.layers.clone())
            .collect::<Vec<_>>()
    };
    let mut blobs = Blobs::new(repository, store, *origins, events);
    blobs.repacked = repacked;
    let plan = if plan.is_complete() {
        let root = plan.root();
        events(Event::Resolved {
            reference: repository.name(),
            digest: root.descriptor.digest,
        });
        if let Some(there) = already_there(repository, names, root).await? {
            if there == There::Content {
                put_names(repository, names, root).await?;
            }
            return Ok(Done {
                layers: layers(&plan),
                pushed: blobs.summary(
                    root.descriptor.digest,
                    plan.count_blobs(),
                    plan.single_platform,
                ),
            });
        }
        blobs.send(&plan).await?;
        plan
    } else {
        let plan = blobs.send_local(plan).await?;
        local::record(store, &plan, image).await?;
        events(Event::Resolved {
            reference: repository.name(),
            digest: plan.root().descriptor.digest,
        });
        plan
    };
    for child in plan.children() {
        put_manifest(
            repository,
            &ManifestName::Digest(child.descriptor.digest),
            child,
        )
        .await?;
    }
    put_names(repository, names, plan.root()).await?;
    Ok(Done {
        layers: layers(&plan),
        pushed: blobs.summary(plan.root().descriptor.digest, 0, plan.single_platform),
    })
}

/// How much of a push is done before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    /// The manifest is there under every name.
    Named,
    /// The manifest is there.
    Content,
}

async fn already_there(
    repository: &dyn Repository,
    names: &[ManifestName],
    root: &Resolved,
) -> Result<Option<There>> {
    let digest = root.descriptor.digest;
    let found =
        |found: Option<kiln_store::Descriptor>| found.is_some_and(|found| found.digest == digest);
    let mut all = !names.is_empty();
    for name in names {
        if !found(repository.head_manifest(name).await?) {
            all = false;
            break;
        }
    }
    if all {
        return Ok(Some(There::Named));
    }
    let there = found(
        repository
            .head_manifest(&ManifestName::Digest(digest))
            .await?,
    );
    Ok(there.then_some(There::Content))
}

/// Gives the document its names; without any it is put by its digest.
async fn put_names(
    repository: &dyn Repository,
    names: &[ManifestName],
    root: &Resolved,
) -> Result<()> {
    if names.is_empty() {
        let name = ManifestName::Digest(root.descriptor.digest);
        return put_manifest(repository, &name, root).await;
    }
    for name in names {
        put_manifest(repository, name, root).await?;
    }
    Ok(())
}

async fn put_manifest(
    repository: &dyn Repository,
    name: &ManifestName,
    manifest: &Resolved,
) -> Result<()> {
    let actual = manifest.descriptor.digest;
    if let ManifestName::Digest(digest) = name
        && *digest != actual
    {
        let problem =
            format!("the image has the digest {actual}, so it cannot be pushed under another one");
        return Err(Error::protocol(
            format!("{}@{digest}", repository.name()),
            problem,
        ));
    }
    repository.put_manifest(name, manifest).await
}

/// The names to give in the repository: the reference's own and further tags.
fn names(reference: &Reference, tags: &[String]) -> Vec<ManifestName> {
    let mut names = vec![match (reference.tag(), reference.digest()) {
        (Some(tag), _) => ManifestName::Tag(tag.to_owned()),
        (None, Some(digest)) => ManifestName::Digest(*digest),
        (None, None) => ManifestName::Tag("latest".to_owned()),
    }];
    for tag in tags {
        let name = ManifestName::Tag(tag.clone());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
