//! The same images through kiln and through oci-client: both must see and leave the same bytes.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use kiln_registry::{Layout, ManifestName, PullOptions, PushOptions, pull, pull_from, push};
use kiln_store::{Digest, Platform};
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
