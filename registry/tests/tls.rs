//! TLS: authorities, registries called insecure, HTTP/2 for small requests and connections of their own for blobs.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use kiln_registry::{
    Client, ClientOptions, HostOptions, Layout, ManifestName, PullOptions, PushOptions, Tls, pull,
    pull_from, push,
};
use kiln_store::{Platform, Store};
use support::docker_registry::DockerRegistry;
use support::image::TestImage;
use support::{ignore, quick_options, reference, scratch, store};

fn client(registry: &DockerRegistry, tls: Option<Tls>, authority: bool) -> Client {
    let host = HostOptions {
        tls,
        ..HostOptions::default()
    };
    let certificate_authorities = if authority {
        vec![registry.authority()]
    } else {
        Vec::new()
    };
    let hosts = [(registry.address.clone(), host)].into();
    Client::new(ClientOptions {
        hosts,
        certificate_authorities,
        ..quick_options()
    })
    .unwrap()
}

/// A store with an image in it.
async fn stored(root: &std::path::Path, image: &TestImage) -> Store {
    image.write_layout(&root.join("layout"), "x");
    let layout = Layout::open(&root.join("layout")).unwrap();
    let store = store(&root.join("store"));
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
    store
}

#[tokio::test]
async fn certificates_and_protocols() {
    let Some(registry) = DockerRegistry::start_tls() else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(21, &[200_000, 300_000]);
    let store = stored(root.path(), &image).await;
    let name = reference(&registry.name("app:1"));
    let options = PushOptions::default();

    // A loopback registry is taken for plain HTTP, found to speak TLS, and its authority is known.
    push(
        &client(&registry, None, true),
        &store,
        &image.digest(),
        &name,
        &options,
        &ignore,
    )
    .await
    .unwrap();
    let protocols = registry.protocols();
    for line in &protocols {
        let expect = if line.contains("uploads/") && !line.starts_with("POST") {
            "HTTP/1.1"
        } else {
            "HTTP/2.0"
        };
        assert!(line.ends_with(expect), "{line} in {protocols:#?}");
    }
    assert_eq!(
        protocols
            .iter()
            .filter(|line| line.starts_with("PUT"))
            .count(),
        4
    );

    // A certificate of an unknown authority is an error at once, whether TLS was asked for or found out.
    for tls in [Some(Tls::Verify), None] {
        let error = push(
            &client(&registry, tls, false),
            &store,
            &image.digest(),
            &name,
            &options,
            &ignore,
        )
        .await
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("invalid peer certificate: UnknownIssuer"),
            "{error}"
        );
    }
    assert_eq!(registry.protocols().len(), protocols.len());

    // Unless the registry is called insecure.
    let insecure = client(&registry, Some(Tls::Insecure), false);
    let again = push(&insecure, &store, &image.digest(), &name, &options, &ignore)
        .await
        .unwrap();
    assert_eq!(again.sent, 0);
    let other = scratch();
    let target = support::store(other.path());
    let pulled = pull(
        &insecure,
        &target,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(pulled.digest, image.digest());
}

#[tokio::test]
async fn insecure_registries_may_speak_plain_http() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(21, &[1000]);
    let store = stored(root.path(), &image).await;
    let name = reference(&registry.name("app:1"));
    for tls in [Tls::Insecure, Tls::Plain] {
        push(
            &client(&registry, Some(tls), false),
            &store,
            &image.digest(),
            &name,
            &PushOptions::default(),
            &ignore,
        )
        .await
        .unwrap();
    }
    let strict = client(&registry, Some(Tls::Verify), false);
    let error = push(
        &strict,
        &store,
        &image.digest(),
        &name,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap_err()
    .to_string();
    assert!(
        error.starts_with(&format!("HEAD https://{}/", registry.address)),
        "{error}"
    );
}

#[test]
fn authorities_must_be_certificates() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = Client::new(ClientOptions {
        certificate_authorities: vec![b"nonsense".to_vec()],
        ..quick_options()
    })
    .unwrap();
    let error = runtime
        .block_on(client.digest(&reference("registry.example/x")))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "a file of certificate authorities holds no certificate"
    );
}
