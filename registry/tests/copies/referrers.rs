//! What belongs to an image comes along.

use super::*;

#[tokio::test]
async fn signatures_and_their_signatures_come_along() {
    let (Some(first), Some(second)) = (DockerRegistry::start(), DockerRegistry::start()) else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(41, &[9_000]);
    let layout = Layout::create(&root.path().join("l")).unwrap();
    put(&layout, &tag("v1"), &image.blobs(), &image.manifest).await;
    let (blobs, sbom) = about(&image.descriptor(), "application/spdx+json", b"a list");
    let sbom_name = ManifestName::Digest(Digest::sha256(&sbom));
    put(&layout, &sbom_name, &blobs, &sbom).await;
    let sbom_descriptor = Descriptor::new(
        media_type::OCI_MANIFEST,
        Digest::sha256(&sbom),
        sbom.len() as u64,
    );
    let (blobs, seal) = about(
        &sbom_descriptor,
        "application/vnd.test.signature",
        b"a seal",
    );
    put(
        &layout,
        &ManifestName::Digest(Digest::sha256(&seal)),
        &blobs,
        &seal,
    )
    .await;
    let cosign = format!("sha256-{}.sig", image.digest().hex());
    let other = TestImage::new(42, &[100]);
    put(&layout, &tag(&cosign), &other.blobs(), &other.manifest).await;

    // Out of a layout into a registry that keeps no list of referrers: the fallback tag does.
    let target = at(&first, "a/app", Access::Push);
    let done = copied(layout, &tag("v1"), &target, &[tag("v1")], &everything()).await;
    assert_eq!((done.digest, done.companions), (image.digest(), 3));
    let fallback = tag(&format!("sha256-{}", image.digest().hex()));
    let found = target.manifest(&fallback).await.unwrap();
    let list: Index = serde_json::from_slice(&found.bytes).unwrap();
    assert_eq!(list.manifests[0].digest, Digest::sha256(&sbom));
    assert_eq!(
        list.manifests[0].artifact_type.as_deref(),
        Some("application/spdx+json")
    );

    // And from there into the next one, also when the image itself is there already.
    let target = at(&second, "b/app", Access::Push);
    let bare = CopyOptions::default();
    let source = at(&first, "a/app", Access::Pull);
    copied(source.clone(), &tag("v1"), &target, &[tag("v1")], &bare).await;
    let mut tags = target.tags().await.unwrap();
    assert_eq!(tags, ["v1"]);
    let done = copied(
        source.clone(),
        &tag("v1"),
        &target,
        &[tag("v1")],
        &everything(),
    )
    .await;
    assert_eq!((done.companions, done.sent > 0), (3, true));
    tags = target.tags().await.unwrap();
    let expected = [
        format!("sha256-{}", image.digest().hex()),
        cosign.clone(),
        format!("sha256-{}", Digest::sha256(&sbom).hex()),
        "v1".to_owned(),
    ];
    assert!(expected.iter().all(|tag| tags.contains(tag)), "{tags:?}");
    assert_eq!(tags.len(), expected.len());
    let again = copied(source, &tag("v1"), &target, &[tag("v1")], &everything()).await;
    assert_eq!((again.sent, again.manifests), (0, 0));

    // Back into a layout, where referrers are entries.
    let out = Layout::create(&root.path().join("out")).unwrap();
    let source = at(&second, "b/app", Access::Pull);
    copied(source, &tag("v1"), &out, &[tag("v1")], &everything()).await;
    let held: Vec<Digest> = out
        .entries()
        .unwrap()
        .iter()
        .map(|(_, entry)| entry.digest)
        .collect();
    for digest in [Digest::sha256(&sbom), Digest::sha256(&seal), other.digest()] {
        assert!(held.contains(&digest), "{digest} is not in {held:?}");
    }
    let only = out.only().unwrap_err().to_string();
    assert!(only.contains("several images"), "{only}");
}

#[tokio::test]
async fn an_unchanged_image_costs_few_requests() {
    let (Some(first), Some(second)) = (DockerRegistry::start(), DockerRegistry::start()) else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(43, &[9_000, 80_000, 100]);
    image.write_layout(&root.path().join("l"), "v1");
    let layout = Layout::open(&root.path().join("l")).unwrap();
    let source = at(&first, "a/app", Access::Push);
    copied(layout, &tag("v1"), &source, &[tag("v1")], &everything()).await;
    let target = at(&second, "a/app", Access::Push);
    let source = at(&first, "a/app", Access::Pull);
    copied(
        source,
        &tag("v1"),
        &target,
        &[tag("v1")],
        &CopyOptions::default(),
    )
    .await;

    let (source, target) = (
        at(&first, "a/app", Access::Pull),
        at(&second, "a/app", Access::Push),
    );
    let done = copied(
        source,
        &tag("v1"),
        &target,
        &[tag("v1")],
        &CopyOptions::default(),
    )
    .await;
    assert_eq!((done.traffic.requests, done.skipped), (2, 4));
    let (source, target) = (
        at(&first, "a/app", Access::Pull),
        at(&second, "a/app", Access::Push),
    );
    let done = copied(source, &tag("v1"), &target, &[tag("v1")], &everything()).await;
    assert_eq!(done.traffic.requests, 4, "and two for what belongs to it");
}
