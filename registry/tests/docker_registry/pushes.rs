//! Pushes, and how many requests they take.

use super::*;

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
    pull_into(&client(), &store, &name).await.unwrap();

    // To another registry: everything is new there.
    let Some(target) = DockerRegistry::start() else {
        return;
    };
    let to = reference(&target.name("to/app:1"));
    let pushed = push_from(&client(), &store, &image, &to).await.unwrap();
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
    let again = push_from(&client(), &store, &image, &to).await.unwrap();
    assert_eq!(
        (again.traffic.requests, again.traffic.sent, again.skipped),
        (1, 0, 4)
    );
    let retag = reference(&target.name("to/app:2"));
    let again = push_from(&client(), &store, &image, &retag).await.unwrap();
    assert_eq!((again.traffic.requests, again.sent), (3, 0));
    assert_eq!(skopeo_digest(&target, "to/app:2"), image.digest());

    // To another repository of a registry that is known to hold the layers: mounts, no bytes.
    let other = reference(&target.name("other/app:1"));
    let mounted = push_from(&client(), &store, &image, &other).await.unwrap();
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
        pull_into(&client, &store, &name).await.unwrap();
        let to = reference(&target.name("a:latest"));
        let pushed = push_from(&client, &store, &image, &to).await.unwrap();
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
