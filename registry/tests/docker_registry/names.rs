//! Tags, deletion and copies.

use super::*;

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
        &CopyOptions::default(),
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
    let copied = copy(
        &source,
        &tag("2"),
        &target,
        &[tag("1")],
        &CopyOptions::default(),
        &ignore,
    )
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
    let again = copy(
        &source,
        &tag("2"),
        &target,
        &[tag("1")],
        &CopyOptions::default(),
        &ignore,
    )
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
        &CopyOptions {
            origin: Some("a/app".to_owned()),
            ..CopyOptions::default()
        },
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((copied.sent, copied.mounted), (0, 9));
    let target = at(&first, "d/app", Access::Push);
    let copied = copy(
        &source,
        &tag("1"),
        &target,
        &[tag("1")],
        &CopyOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((copied.sent, copied.mounted), (9, 0));

    let source: Arc<dyn Repository> = Arc::new(at(&second, "b/app", Access::Pull));
    let out = Layout::create(&root.path().join("out")).unwrap();
    let copied = copy(
        &source,
        &tag("1"),
        &out,
        &[tag("y")],
        &CopyOptions::default(),
        &ignore,
    )
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
