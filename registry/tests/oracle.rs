//! The same images through kiln and through oci-client: both must see and leave the same bytes.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::sync::Arc;

use kiln_registry::{
    Access, CopyOptions, Layout, ManifestName, PullOptions, PushOptions, Repository, copy, pull,
    pull_from, push,
};
use kiln_store::{Digest, Manifest, Platform};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use support::docker_registry::DockerRegistry;
use support::image::TestImage;
use support::{client, ignore, reference, scratch, store};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn oracle() -> oci_client::Client {
    // A second test of this process finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    oci_client::Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    })
}

#[tokio::test]
async fn both_read_the_same() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(31, &[500_000, 20, 700_000]);
    image.write_layout(&root.path().join("layout"), "x");
    let store = store(&root.path().join("store"));
    let layout = Layout::open(&root.path().join("layout")).unwrap();
    pull_from(
        &layout,
        &ManifestName::Tag("x".to_owned()),
        &store,
        &Platform::host(),
        &[],
        &ignore,
    )
    .await
    .unwrap();
    let name = reference(&registry.name("o/app:1"));
    push(
        &client(),
        &store,
        &image.digest(),
        &name,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();

    let oracle = oracle();
    let theirs: oci_client::Reference = registry.name("o/app:1").parse().unwrap();
    let auth = RegistryAuth::Anonymous;
    let (manifest, digest) = oracle
        .pull_manifest_raw(&theirs, &auth, &[MANIFEST])
        .await
        .unwrap();
    let ours = client().resolve(&name).await.unwrap();
    assert_eq!(
        (&manifest[..], digest),
        (&ours.bytes[..], ours.descriptor.digest.to_string())
    );
    assert_eq!(
        oracle
            .list_tags(&theirs, &auth, None, None)
            .await
            .unwrap()
            .tags,
        client().tags(&name).await.unwrap()
    );
    for (digest, expect) in image.blobs() {
        let mut bytes = Vec::new();
        oracle
            .pull_blob(&theirs, digest.to_string().as_str(), &mut bytes)
            .await
            .unwrap();
        assert_eq!(bytes, expect);
    }
}

#[tokio::test]
async fn kiln_reads_what_it_pushed() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let image = TestImage::new(32, &[9_000_000, 100]);
    let oracle = oracle();
    let theirs: oci_client::Reference = registry.name("o/app:2").parse().unwrap();
    oracle
        .auth(
            &theirs,
            &RegistryAuth::Anonymous,
            oci_client::RegistryOperation::Push,
        )
        .await
        .unwrap();
    for (digest, bytes) in image.blobs() {
        oracle
            .push_blob(&theirs, bytes, &digest.to_string())
            .await
            .unwrap();
    }
    oracle
        .push_manifest_raw(&theirs, image.manifest.clone(), MANIFEST.parse().unwrap())
        .await
        .unwrap();

    let root = scratch();
    let store = store(root.path());
    let name = reference(&registry.name("o/app:2"));
    let pulled = pull(
        &client(),
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(pulled.digest, image.digest());
    assert_eq!(Digest::sha256(&pulled.image.manifest_bytes), image.digest());
    let kiln = registry
        .requests()
        .iter()
        .filter(|line| line.starts_with("GET"))
        .count();
    eprintln!(
        "oci-client sent {} requests, kiln {}",
        registry.requests().len() - kiln,
        pulled.traffic.requests
    );
}

#[tokio::test]
async fn both_leave_the_same_behind() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    // An empty layer, small ones, and one of more bytes than the other sends at once.
    let image = TestImage::new(33, &[1_000_000, 0, 5_000_000, 17, 900_000, 3]);
    image.write_layout(&root.path().join("layout"), "x");
    let layout: Arc<dyn Repository> = Arc::new(Layout::open(&root.path().join("layout")).unwrap());
    let ours = client().repository(&reference(&registry.name("kiln/app:1")), Access::Push);
    let (from, to) = (
        ManifestName::Tag("x".to_owned()),
        [ManifestName::Tag("1".to_owned())],
    );
    copy(&layout, &from, &ours, &to, &CopyOptions::default(), &ignore)
        .await
        .unwrap();

    let oracle = oracle();
    let auth = RegistryAuth::Anonymous;
    let theirs: oci_client::Reference = registry.name("their/app:1").parse().unwrap();
    let layers: Vec<_> = image
        .layers
        .iter()
        .map(|layer| {
            let kind = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
            oci_client::client::ImageLayer::new(layer.clone(), kind, None)
        })
        .collect();
    let config = oci_client::client::Config::new(
        image.config.clone(),
        "application/vnd.oci.image.config.v1+json".to_owned(),
        None,
    );
    let manifest: oci_client::manifest::OciImageManifest =
        serde_json::from_slice(&image.manifest).unwrap();
    oracle
        .push(&theirs, &layers, config, &auth, Some(manifest))
        .await
        .unwrap();

    // Each reads what the other pushed; configuration and layers are the same, one by one.
    let read_by_us = client()
        .resolve(&reference(&registry.name("their/app:1")))
        .await
        .unwrap();
    let of_kiln: oci_client::Reference = registry.name("kiln/app:1").parse().unwrap();
    let (read_by_them, digest) = oracle
        .pull_manifest_raw(&of_kiln, &auth, &[MANIFEST])
        .await
        .unwrap();
    assert_eq!(digest, image.digest().to_string());
    let parts = |bytes: &[u8]| {
        let manifest: Manifest = serde_json::from_slice(bytes).unwrap();
        let all = std::iter::once(manifest.config).chain(manifest.layers);
        all.map(|part| (part.media_type, part.digest, part.size))
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(&read_by_us.bytes), parts(&read_by_them));
    for (digest, bytes) in image.blobs() {
        let mut found = Vec::new();
        oracle
            .pull_blob(&of_kiln, digest.to_string().as_str(), &mut found)
            .await
            .unwrap();
        assert_eq!(found, bytes);
    }
    let other = Layout::create(&root.path().join("their")).unwrap();
    let source: Arc<dyn Repository> =
        Arc::new(client().repository(&reference(&registry.name("their/app:1")), Access::Pull));
    copy(
        &source,
        &to[0],
        &other,
        &[from],
        &CopyOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    for (digest, bytes) in image.blobs() {
        let path = other.root().join("blobs/sha256").join(digest.hex());
        assert_eq!(std::fs::read(path).unwrap(), bytes);
    }
}
