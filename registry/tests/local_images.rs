//! Images that were made here and have no compressed layers yet.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use kiln_registry::{Layout, ManifestName, PullOptions, PushOptions, pull, push, push_into};
use kiln_store::{
    CommitOptions, Descriptor, DiffId, Image, ImageConfig, ManifestKind, Platform, Store,
    media_type,
};
use support::docker_registry::DockerRegistry;
use support::image::noise;
use support::{client, has, ignore, reference, run, scratch, store};

/// Writes layers from trees, as a build does, and an image of them.
fn build(store: &Store, sizes: &[usize]) -> Image {
    let mut config = ImageConfig::new(&Platform::host());
    let mut descriptors = Vec::new();
    let mut layers: Vec<DiffId> = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let below = store.stack(&layers).unwrap();
        let tree = store.new_tree(&below).unwrap();
        std::fs::write(
            tree.fs().join(format!("file-{number}")),
            noise(number as u64, *size),
        )
        .unwrap();
        let record = store
            .commit_tree(tree, &below, &CommitOptions::default())
            .unwrap();
        descriptors.push(Descriptor::new(
            media_type::OCI_LAYER,
            record.diff_id.0,
            record.tar_size,
        ));
        layers.push(record.diff_id);
    }
    config.rootfs.diff_ids = layers;
    store
        .put_image(&config, &descriptors, ManifestKind::Oci)
        .unwrap()
}

#[tokio::test]
async fn layers_are_compressed_and_the_new_manifest_takes_over() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let store = store(&root.path().join("store"));
    let image = build(&store, &[400_000, 300_000]);
    let name = reference(&registry.name("made/here:1"));
    store.tag(&name, &image.manifest_digest).unwrap();

    let pushed = push(
        &client(),
        &store,
        &image.manifest_digest,
        &name,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((pushed.sent, pushed.skipped), (3, 0));
    assert_ne!(pushed.digest, image.manifest_digest);
    assert_eq!(store.resolve(&name).unwrap(), Some(pushed.digest));
    let now = store.image(&pushed.digest).unwrap();
    assert_eq!(
        (now.id, &now.config),
        (image.id, &image.config),
        "the same image by its configuration"
    );
    assert!(
        now.manifest
            .layers
            .iter()
            .all(|layer| layer.media_type == media_type::OCI_LAYER_GZIP)
    );

    // Both manifests now lead to the same push, which finds everything done.
    for digest in [image.manifest_digest, pushed.digest] {
        let again = push(
            &client(),
            &store,
            &digest,
            &name,
            &PushOptions::default(),
            &ignore,
        )
        .await
        .unwrap();
        assert_eq!((again.digest, again.traffic.requests), (pushed.digest, 1));
    }

    // Another store makes the same layers out of it; skopeo reads and converts it.
    let other = support::store(&root.path().join("other"));
    let pulled = pull(
        &client(),
        &other,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((pulled.digest, pulled.layers_fetched), (pushed.digest, 2));
    if has("skopeo") {
        let target = root.path().join("dir").display().to_string();
        run(
            "skopeo",
            &[
                "copy",
                "--src-tls-verify=false",
                &format!("docker://{}", registry.name("made/here:1")),
                &format!("dir:{target}"),
            ],
        );
    }
    if has("umoci") {
        let layout = Layout::create(&root.path().join("layout")).unwrap();
        push_into(
            &layout,
            &[ManifestName::Tag("x".to_owned())],
            &store,
            &image.manifest_digest,
            None,
            &ignore,
        )
        .await
        .unwrap();
        let (from, to) = (
            format!("{}:x", layout.root().display()),
            root.path().join("bundle"),
        );
        run(
            "umoci",
            &[
                "unpack",
                "--rootless",
                "--image",
                &from,
                to.to_str().unwrap(),
            ],
        );
        assert_eq!(
            std::fs::read(to.join("rootfs/file-0")).unwrap(),
            noise(0, 400_000)
        );
    }
}
