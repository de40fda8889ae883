//! Pull and push against Debian's `docker-registry`, with skopeo as the other side.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::sync::Arc;

use kiln_registry::{
    Access, Error, Layout, ManifestName, PullOptions, PushOptions, Repository, copy, pull, push,
};
use kiln_store::{Digest, Index, ManifestKind, Platform};
use support::docker_registry::DockerRegistry;
use support::image::TestImage;
use support::{client, client_as, has, ignore, reference, run, scratch, store};

/// Puts an image into a registry with skopeo.
fn skopeo_push(registry: &DockerRegistry, image: &TestImage, name: &str) {
    let layout = scratch();
    image.write_layout(layout.path(), "x");
    let source = format!("oci:{}:x", layout.path().display());
    run(
        "skopeo",
        &[
            "copy",
            "--dest-tls-verify=false",
            "--preserve-digests",
            &source,
            &format!("docker://{}", registry.name(name)),
        ],
    );
}

fn skopeo_digest(registry: &DockerRegistry, name: &str) -> Digest {
    let raw = run(
        "skopeo",
        &[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{}", registry.name(name)),
        ],
    );
    Digest::sha256(raw.as_bytes())
}

#[tokio::test]
async fn pulls_what_skopeo_pushed() {
    let Some(registry) = DockerRegistry::start().filter(|_| has("skopeo")) else {
        return;
    };
    let image = TestImage::new(1, &[300_000, 10, 5_000_000]);
    skopeo_push(&registry, &image, "team/app:1");
    let root = scratch();
    let store = store(root.path());
    let name = reference(&registry.name("team/app:1"));
    let before = registry.requests().len();

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
    assert_eq!(pulled.image.manifest_bytes, image.manifest);
    assert_eq!(pulled.image.config_bytes, image.config);
    assert_eq!((pulled.layers_fetched, pulled.layers_skipped), (3, 0));
    assert_eq!(
        pulled.traffic.requests,
        5,
        "{:?}",
        &registry.requests()[before..]
    );
    assert_eq!(registry.requests().len() - before, 5);
    assert_eq!(store.resolve(&name).unwrap(), Some(image.digest()));

    // Again: one HEAD, nothing moves.
    let again = pull(
        &client(),
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(
        (
            again.traffic.requests,
            again.traffic.received,
            again.layers_skipped
        ),
        (1, 0, 3)
    );

    // A new image on the same layers: the layers that are here cost no request.
    let mut other = TestImage::new(1, &[300_000, 10, 5_000_000, 77]);
    other.layers.truncate(4);
    skopeo_push(&registry, &other, "team/app:2");
    let name = reference(&registry.name("team/app:2"));
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
    assert_eq!((pulled.layers_fetched, pulled.layers_skipped), (1, 3));
    assert_eq!(
        pulled.traffic.requests, 3,
        "manifest, configuration, one layer"
    );
}

#[tokio::test]
async fn pushes_what_skopeo_reads_and_counts_requests() {
    let Some(registry) = DockerRegistry::start().filter(|_| has("skopeo")) else {
        return;
    };
    let image = TestImage::new(7, &[200_000, 3_000_000, 100_000]);
    skopeo_push(&registry, &image, "from/app:1");
    let root = scratch();
    let store = store(root.path());
    let name = reference(&registry.name("from/app:1"));
    pull(
        &client(),
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();

    // To another registry: everything is new there.
    let Some(target) = DockerRegistry::start() else {
        return;
    };
    let to = reference(&target.name("to/app:1"));
    let pushed = push(
        &client(),
        &store,
        &image.digest(),
        &to,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((pushed.sent, pushed.mounted, pushed.skipped), (4, 0, 0));
    assert_eq!(pushed.digest, image.digest());
    assert_eq!(skopeo_digest(&target, "to/app:1"), image.digest());
    // HEAD tag, HEAD digest; configuration POST, PUT, and once more to learn what mounts do; two for each layer; PUT manifest.
    assert_eq!(
        pushed.traffic.requests,
        2 + 3 + 2 * 3 + 1,
        "{:#?}",
        target.requests()
    );
    assert_eq!(
        target.requests().len(),
        12 + 2,
        "kiln's requests and skopeo's inspect: {:#?}",
        target.requests()
    );
    assert_eq!(
        pushed.traffic.sent,
        image
            .blobs()
            .iter()
            .map(|(_, blob)| blob.len() as u64)
            .sum::<u64>()
            + image.manifest.len() as u64
    );

    // The same again: one request. Another tag: three. Both at once would be four.
    let again = push(
        &client(),
        &store,
        &image.digest(),
        &to,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(
        (again.traffic.requests, again.traffic.sent, again.skipped),
        (1, 0, 4)
    );
    let retag = reference(&target.name("to/app:2"));
    let again = push(
        &client(),
        &store,
        &image.digest(),
        &retag,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((again.traffic.requests, again.sent), (3, 0));
    assert_eq!(skopeo_digest(&target, "to/app:2"), image.digest());

    // To another repository of a registry that is known to hold the layers: mounts, no bytes.
    let other = reference(&target.name("other/app:1"));
    let mounted = push(
        &client(),
        &store,
        &image.digest(),
        &other,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(
        (mounted.sent, mounted.mounted, mounted.skipped),
        (1, 3, 0),
        "the configuration is sent, its origin is not written down"
    );
    assert_eq!(skopeo_digest(&target, "other/app:1"), image.digest());
    let copied = scratch();
    run(
        "skopeo",
        &[
            "copy",
            "--src-tls-verify=false",
            &format!("docker://{}", target.name("other/app:1")),
            &format!("oci:{}:x", copied.path().join("o").display()),
        ],
    );
}

#[tokio::test]
async fn one_request_for_a_present_layer_two_for_a_new_one() {
    let Some(registry) = DockerRegistry::start().filter(|_| has("skopeo")) else {
        return;
    };
    let Some(target) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let store = store(root.path());
    let sizes = [150_000; 6];
    let mut requests = Vec::new();
    let client = client();
    for layers in [4, 6] {
        let image = TestImage::new(40, &sizes[..layers]);
        skopeo_push(&registry, &image, &format!("a:{layers}"));
        let name = reference(&registry.name(&format!("a:{layers}")));
        pull(
            &client,
            &store,
            &name,
            &Platform::host(),
            &PullOptions::default(),
            &ignore,
        )
        .await
        .unwrap();
        let to = reference(&target.name("a:latest"));
        let pushed = push(
            &client,
            &store,
            &image.digest(),
            &to,
            &PushOptions::default(),
            &ignore,
        )
        .await
        .unwrap();
        requests.push(pushed.traffic.requests);
    }
    // Second push: 2 HEADs, configuration 2, 4 layers there, 2 new ones, manifest.
    assert_eq!(
        requests[1],
        2 + 2 + 4 + 2 * 2 + 1,
        "{:#?}",
        target.requests()
    );
}

#[tokio::test]
async fn indexes_are_resolved_for_the_platform() {
    let Some(registry) = DockerRegistry::start().filter(|_| has("skopeo")) else {
        return;
    };
    let platforms: Vec<Platform> = ["linux/amd64", "linux/arm64"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let images: Vec<TestImage> = platforms
        .iter()
        .zip(1u64..)
        .map(|(platform, seed)| TestImage::for_platform(seed * 100, &[50_000, 60_000], platform))
        .collect();
    for image in &images {
        skopeo_push(&registry, image, "multi/app:part");
    }
    let descriptors = images.iter().zip(&platforms).map(|(image, platform)| {
        let mut descriptor = image.descriptor();
        descriptor.platform = Some(platform.clone());
        descriptor
    });
    let index = Index::new(ManifestKind::Oci, descriptors.collect())
        .to_bytes()
        .unwrap();
    let digest = Digest::sha256(&index);
    let name = reference(&registry.name("multi/app:1"));
    let repository = client().repository(&name, Access::Push);
    let descriptor = kiln_store::Descriptor::new(
        kiln_store::media_type::OCI_INDEX,
        digest,
        index.len() as u64,
    );
    repository
        .put_manifest(
            &ManifestName::Tag("1".to_owned()),
            &kiln_registry::Resolved {
                descriptor,
                bytes: index.into(),
            },
        )
        .await
        .unwrap();

    let root = scratch();
    let store = store(root.path());
    for (image, platform) in images.iter().zip(&platforms) {
        let pulled = pull(
            &client(),
            &store,
            &name,
            platform,
            &PullOptions::default(),
            &ignore,
        )
        .await
        .unwrap();
        assert_eq!(pulled.digest, digest);
        assert_eq!(pulled.image.manifest_digest, image.digest());
    }
    let error = pull(
        &client(),
        &store,
        &name,
        &"linux/s390x".parse().unwrap(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error}");

    // All platforms are here now: the index goes whole.
    let to = reference(&registry.name("copy/app:1"));
    let pushed = push(
        &client(),
        &store,
        &digest,
        &to,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((pushed.digest, pushed.single_platform), (digest, false));
    assert_eq!(skopeo_digest(&registry, "copy/app:1"), digest);
}

#[tokio::test]
async fn passwords() {
    let Some(registry) =
        DockerRegistry::start_with(Some(("alice", "secret"))).filter(|_| has("skopeo"))
    else {
        return;
    };
    let image = TestImage::new(3, &[100_000]);
    let layout = scratch();
    image.write_layout(layout.path(), "x");
    let source = format!("oci:{}:x", layout.path().display());
    run(
        "skopeo",
        &[
            "copy",
            "--dest-tls-verify=false",
            "--dest-creds",
            "alice:secret",
            &source,
            &format!("docker://{}", registry.name("p:1")),
        ],
    );
    let root = scratch();
    let store = store(root.path());
    let name = reference(&registry.name("p:1"));
    let host = registry.address.clone();

    let error = pull(
        &client(),
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{host} refuses access to p (pull): authentication required (UNAUTHORIZED); no credentials are known for it; `kiln login {host}` stores them"
        )
    );
    let wrong = client_as(&host, "alice", "wrong");
    let error = wrong.check_login(&host).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("the credentials from the command line were sent"),
        "{error}"
    );
    assert!(!error.to_string().contains("wrong"), "{error}");

    let right = client_as(&host, "alice", "secret");
    right.check_login(&host).await.unwrap();
    pull(
        &right,
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    let pushed = push(
        &right,
        &store,
        &image.digest(),
        &reference(&registry.name("q:1")),
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((pushed.mounted, pushed.sent), (1, 1));
}

#[tokio::test]
async fn tags_and_deletion() {
    let Some(registry) = DockerRegistry::start().filter(|_| has("skopeo")) else {
        return;
    };
    let image = TestImage::new(5, &[1000]);
    for tag in ["b", "a", "c"] {
        skopeo_push(&registry, &image, &format!("t/x:{tag}"));
    }
    let client = client();
    let name = reference(&registry.name("t/x:b"));
    assert_eq!(client.tags(&name).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(client.digest(&name).await.unwrap().digest, image.digest());
    assert_eq!(client.resolve(&name).await.unwrap().bytes, image.manifest);
    assert_eq!(client.delete(&name).await.unwrap().digest, image.digest());
    let error = client.resolve(&name).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} not found", registry.name("t/x:b"))
    );
    let error = client
        .tags(&reference(&registry.name("no/such")))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} not found", registry.name("no/such"))
    );
}

#[tokio::test]
async fn a_registry_that_is_down() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = client()
        .digest(&reference(&format!("127.0.0.1:{port}/x")))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "HEAD http://127.0.0.1:{port}/v2/x/manifests/latest: cannot connect: Connection refused (os error 111)"
        )
    );
}

#[tokio::test]
async fn copies_between_registries_and_layouts() {
    let (Some(first), Some(second)) = (DockerRegistry::start(), DockerRegistry::start()) else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(
        61,
        &[
            900_000, 5_000, 700_000, 800_000, 600_000, 500_000, 400_000, 300_000,
        ],
    );
    image.write_layout(&root.path().join("in"), "x");
    let tag = |name: &str| ManifestName::Tag(name.to_owned());
    let layout: Arc<dyn Repository> = Arc::new(Layout::open(&root.path().join("in")).unwrap());
    let client = client();
    let at = |registry: &DockerRegistry, name: &str, access| {
        client.repository(&reference(&registry.name(name)), access)
    };

    let target = at(&first, "a/app", Access::Push);
    let copied = copy(
        &layout,
        &tag("x"),
        &target,
        &[tag("1"), tag("2")],
        None,
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(
        (copied.digest, copied.sent, copied.manifests),
        (image.digest(), 9, 2)
    );

    let source: Arc<dyn Repository> = Arc::new(at(&first, "a/app", Access::Pull));
    let target = at(&second, "b/app", Access::Push);
    let copied = copy(&source, &tag("2"), &target, &[tag("1")], None, &ignore)
        .await
        .unwrap();
    assert_eq!((copied.sent, copied.skipped), (9, 0));
    assert_eq!(
        target.traffic().sent,
        image
            .blobs()
            .iter()
            .map(|(_, blob)| blob.len() as u64)
            .sum::<u64>()
            + image.manifest.len() as u64
    );
    let again = copy(&source, &tag("2"), &target, &[tag("1")], None, &ignore)
        .await
        .unwrap();
    assert_eq!((again.sent, again.manifests), (0, 0));

    // Within one registry: mounts if it is told where from, else through us, more blobs at once than there are places.
    let target = at(&first, "c/app", Access::Push);
    let copied = copy(
        &source,
        &tag("1"),
        &target,
        &[tag("1")],
        Some("a/app"),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((copied.sent, copied.mounted), (0, 9));
    let target = at(&first, "d/app", Access::Push);
    let copied = copy(&source, &tag("1"), &target, &[tag("1")], None, &ignore)
        .await
        .unwrap();
    assert_eq!((copied.sent, copied.mounted), (9, 0));

    let source: Arc<dyn Repository> = Arc::new(at(&second, "b/app", Access::Pull));
    let out = Layout::create(&root.path().join("out")).unwrap();
    let copied = copy(&source, &tag("1"), &out, &[tag("y")], None, &ignore)
        .await
        .unwrap();
    assert_eq!((copied.digest, copied.sent), (image.digest(), 9));
    if has("skopeo") {
        assert_eq!(skopeo_digest(&second, "b/app:1"), image.digest());
        let raw = run(
            "skopeo",
            &[
                "inspect",
                "--raw",
                &format!("oci:{}:y", out.root().display()),
            ],
        );
        assert_eq!(Digest::sha256(raw.as_bytes()), image.digest());
    }
}
