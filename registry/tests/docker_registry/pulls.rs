//! Pulls, and images for several platforms.

use super::*;

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

    let pulled = pull_into(&client(), &store, &name).await.unwrap();
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
    let again = pull_into(&client(), &store, &name).await.unwrap();
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
    let pulled = pull_into(&client(), &store, &name).await.unwrap();
    assert_eq!((pulled.layers_fetched, pulled.layers_skipped), (1, 3));
    assert_eq!(
        pulled.traffic.requests, 3,
        "manifest, configuration, one layer"
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
