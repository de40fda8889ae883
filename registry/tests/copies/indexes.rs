//! Images of several platforms.

use super::*;

#[tokio::test]
async fn platforms_are_chosen_and_the_index_follows() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let (layout, index, digest) = multi(&root.path().join("l")).await;
    let all = at(&registry, "m/all", Access::Push);
    let done = copied(
        layout.clone(),
        &tag("multi"),
        &all,
        &[tag("1")],
        &everything(),
    )
    .await;
    assert_eq!((done.digest, done.manifests), (digest, 4));

    let two = CopyOptions {
        platforms: Platforms::Some(vec![
            Platform::new("linux", "riscv64", None),
            Platform::new("linux", "amd64", None),
        ]),
        ..CopyOptions::default()
    };
    let some = at(&registry, "m/some", Access::Push);
    let done = copied(layout.clone(), &tag("multi"), &some, &[tag("1")], &two).await;
    assert_eq!(done.source, digest);
    assert_ne!(done.digest, digest);
    let written = some.manifest(&tag("1")).await.unwrap();
    assert_eq!(written.descriptor.digest, done.digest);
    let smaller: Index = serde_json::from_slice(&written.bytes).unwrap();
    assert_eq!(
        smaller.manifests,
        [index.manifests[0].clone(), index.manifests[2].clone()],
        "in the order of the whole index"
    );
    let again = copied(layout.clone(), &tag("multi"), &some, &[tag("1")], &two).await;
    assert_eq!((again.digest, again.manifests), (done.digest, 0));
    if has("skopeo") {
        let name = format!("docker://{}", registry.name("m/some:1"));
        let to = format!("oci:{}:x", root.path().join("skopeo").display());
        run(
            "skopeo",
            &[
                "--insecure-policy",
                "copy",
                "--all",
                "--src-tls-verify=false",
                &name,
                &to,
            ],
        );
    }

    let one = CopyOptions {
        platforms: Platforms::One(Platform::new("linux", "arm64", None)),
        ..CopyOptions::default()
    };
    let single = at(&registry, "m/one", Access::Push);
    let done = copied(layout.clone(), &tag("multi"), &single, &[tag("1")], &one).await;
    assert_eq!(done.digest, index.manifests[1].digest);

    let none = CopyOptions {
        platforms: Platforms::One(Platform::new("linux", "s390x", None)),
        ..CopyOptions::default()
    };
    let from: Arc<dyn Repository> = Arc::new(layout);
    let error = copy(&from, &tag("multi"), &single, &[tag("2")], &none, &ignore)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("linux/arm64") && error.contains("linux/s390x"),
        "{error}"
    );
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let (layout, _, digest) = multi(&root.path().join("l")).await;
    let target = at(&registry, "m/dry", Access::Push);
    let options = CopyOptions {
        dry_run: true,
        ..everything()
    };
    let done = copied(layout, &tag("multi"), &target, &[tag("1")], &options).await;
    assert_eq!((done.digest, done.sent, done.manifests), (digest, 9, 4));
    assert_eq!(target.head_manifest(&tag("1")).await.unwrap(), None);
    let wrote = |line: &String| line.starts_with("PUT") || line.starts_with("POST");
    assert!(!registry.requests().iter().any(wrote));
}
