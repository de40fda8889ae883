//! Copies between every two kinds of places, with what belongs to an image, with chosen platforms and conversions.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod conversions;
mod daemon;
mod deletions;
mod indexes;
mod referrers;

use std::path::Path;
use std::sync::Arc;

use kiln_registry::{
    Access, Copied, CopyOptions, Layout, ManifestName, Platforms, Repository, Resolved, copy,
};
use kiln_store::{Descriptor, Digest, Index, Manifest, ManifestKind, Platform, media_type};
use support::docker_registry::DockerRegistry;
use support::image::TestImage;
use support::{client, has, ignore, reference, run, scratch};

fn tag(name: &str) -> ManifestName {
    ManifestName::Tag(name.to_owned())
}

fn everything() -> CopyOptions {
    CopyOptions {
        companions: true,
        ..CopyOptions::default()
    }
}

/// Puts a blob and a manifest into a layout.
async fn put(layout: &Layout, name: &ManifestName, blobs: &[(Digest, Vec<u8>)], bytes: &[u8]) {
    for (digest, bytes) in blobs {
        let upload = kiln_registry::BlobUpload {
            descriptor: Descriptor::new("application/octet-stream", *digest, bytes.len() as u64),
            source: Arc::new(kiln_registry::BytesBlob(bytes.clone().into())),
            origins: Vec::new(),
        };
        layout.put_blob(&upload).await.unwrap();
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let kind = value["mediaType"].as_str().unwrap();
    let manifest = Resolved {
        descriptor: Descriptor::new(kind, Digest::sha256(bytes), bytes.len() as u64),
        bytes: bytes.to_vec().into(),
    };
    layout.put_manifest(name, &manifest).await.unwrap();
}

/// A layout with an index of three platforms under the name `multi`.
async fn multi(root: &Path) -> (Layout, Index, Digest) {
    let layout = Layout::create(root).unwrap();
    let mut entries = Vec::new();
    for (seed, architecture) in [(1, "amd64"), (2, "arm64"), (3, "riscv64")] {
        let platform = Platform::new("linux", architecture, None);
        let image = TestImage::for_platform(100 + seed, &[20_000, 3_000], &platform);
        let name = ManifestName::Digest(image.digest());
        put(&layout, &name, &image.blobs(), &image.manifest).await;
        let mut entry = image.descriptor();
        entry.platform = Some(platform);
        entries.push(entry);
    }
    let index = Index::new(ManifestKind::Oci, entries);
    let bytes = index.to_bytes().unwrap();
    put(&layout, &tag("multi"), &[], &bytes).await;
    (layout, index, Digest::sha256(&bytes))
}

async fn copied(
    from: impl Repository + 'static,
    name: &ManifestName,
    to: &dyn Repository,
    names: &[ManifestName],
    options: &CopyOptions,
) -> Copied {
    let from: Arc<dyn Repository> = Arc::new(from);
    copy(&from, name, to, names, options, &ignore)
        .await
        .unwrap()
}

/// A manifest of an artifact about another one, and its blob.
fn about(subject: &Descriptor, kind: &str, content: &[u8]) -> (Vec<(Digest, Vec<u8>)>, Vec<u8>) {
    let empty = b"{}".to_vec();
    let config = Descriptor::new(media_type::OCI_EMPTY, Digest::sha256(&empty), 2);
    let layer = Descriptor::new(kind, Digest::sha256(content), content.len() as u64);
    let blobs = vec![(config.digest, empty), (layer.digest, content.to_vec())];
    let mut manifest = Manifest::new(ManifestKind::Oci, config, vec![layer]);
    manifest.artifact_type = Some(kind.to_owned());
    manifest.subject = Some(subject.clone());
    (blobs, manifest.to_bytes().unwrap())
}

fn at(registry: &DockerRegistry, name: &str, access: Access) -> kiln_registry::RemoteRepository {
    client().repository(&reference(&registry.name(name)), access)
}
