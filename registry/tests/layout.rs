//! Image layouts: read, written, by several at once, with umoci and skopeo as the other side.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::sync::Arc;

use kiln_registry::{
    BlobUpload, BytesBlob, Layout, ManifestName, Placed, Repository, Resolved, pull_from, push_into,
};
use kiln_store::{Descriptor, Digest, Platform};
use support::image::TestImage;
use support::{has, ignore, reference, run, scratch, store};

fn tag(name: &str) -> ManifestName {
    ManifestName::Tag(name.to_owned())
}

#[tokio::test]
async fn a_layout_goes_through_the_store_unchanged() {
    let directory = scratch();
    let image = TestImage::new(11, &[100_000, 200_000]);
    image.write_layout(&directory.path().join("in"), "v1");
    let layout = Layout::open(&directory.path().join("in")).unwrap();
    let store = store(&directory.path().join("store"));
    let name = reference("app:v1");
    let pulled = pull_from(
        &layout,
        &tag("v1"),
        &store,
        &Platform::host(),
        std::slice::from_ref(&name),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(pulled.digest, image.digest());
    assert_eq!(store.resolve(&name).unwrap(), Some(image.digest()));

    let out = Layout::create(&directory.path().join("out")).unwrap();
    let pushed = push_into(&out, &[tag("v1")], &store, &image.digest(), None, &ignore)
        .await
        .unwrap();
    assert_eq!((pushed.digest, pushed.sent), (image.digest(), 3));
    let again = push_into(
        &out,
        &[tag("v1"), tag("v2")],
        &store,
        &image.digest(),
        None,
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((again.sent, again.skipped), (0, 3));
    let names: Vec<Option<String>> = out
        .entries()
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [Some("v1".to_owned()), Some("v2".to_owned())]);

    let path = out.root().display().to_string();
    if has("skopeo") {
        let raw = run("skopeo", &["inspect", "--raw", &format!("oci:{path}:v2")]);
        assert_eq!(Digest::sha256(raw.as_bytes()), image.digest());
    }
    if has("umoci") {
        assert!(run("umoci", &["stat", "--image", &format!("{path}:v1")]).contains("LAYER"));
    }
}

#[tokio::test]
async fn what_umoci_made_is_read() {
    if !has("umoci") {
        return;
    }
    let directory = scratch();
    let path = directory.path().join("umoci");
    let image = format!("{}:base", path.display());
    run("umoci", &["init", "--layout", path.to_str().unwrap()]);
    run("umoci", &["new", "--image", &image]);
    let file = directory.path().join("hello");
    std::fs::write(&file, "hello").unwrap();
    run(
        "umoci",
        &[
            "insert",
            "--rootless",
            "--image",
            &image,
            file.to_str().unwrap(),
            "/hello",
        ],
    );
    let store = store(&directory.path().join("store"));
    let layout = Layout::open(&path).unwrap();
    let pulled = pull_from(
        &layout,
        &tag("base"),
        &store,
        &Platform::host(),
        &[],
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(pulled.layers_fetched, 1);
    assert_eq!(store.images().unwrap().len(), 1);
}

#[tokio::test]
async fn writers_at_once_lose_no_name() {
    let directory = scratch();
    let root = directory.path().join("shared");
    Layout::create(&root).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..16u64 {
        let layout = Layout::open(&root).unwrap();
        writers.spawn(async move {
            let image = TestImage::new(number, &[10]);
            let manifest = Resolved {
                descriptor: image.descriptor(),
                bytes: image.manifest.clone().into(),
            };
            layout
                .put_manifest(&tag(&format!("n{number}")), &manifest)
                .await
                .unwrap();
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(Layout::open(&root).unwrap().entries().unwrap().len(), 16);
}

#[tokio::test]
async fn content_that_is_not_what_it_says_is_refused() {
    let directory = scratch();
    let layout = Layout::create(&directory.path().join("l")).unwrap();
    let descriptor = Descriptor::new("application/octet-stream", Digest::sha256(b"right"), 5);
    for wrong in [&b"wrong"[..], b"rig", b"right and more"] {
        let source = Arc::new(BytesBlob(bytes::Bytes::from_static(wrong)));
        let upload = BlobUpload {
            descriptor: descriptor.clone(),
            source,
            origins: Vec::new(),
        };
        let error = layout.put_blob(&upload).await.unwrap_err();
        assert!(error.to_string().contains("is corrupt"), "{error}");
        assert!(!layout.has_blob(&descriptor).await.unwrap());
    }
    let upload = BlobUpload {
        descriptor: descriptor.clone(),
        source: Arc::new(BytesBlob("right".into())),
        origins: Vec::new(),
    };
    assert_eq!(layout.put_blob(&upload).await.unwrap(), Placed::Sent);
    assert_eq!(layout.put_blob(&upload).await.unwrap(), Placed::Present);
    let left = std::fs::read_dir(layout.root().join("blobs/sha256"))
        .unwrap()
        .count();
    assert_eq!(left, 1, "nothing half-made stays");
}

#[test]
fn directories_that_are_no_layouts() {
    let directory = scratch();
    std::fs::write(directory.path().join("file"), "x").unwrap();
    assert!(Layout::open(directory.path()).is_err());
    let error = Layout::create(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("neither empty nor an image layout"),
        "{error}"
    );
    std::fs::write(
        directory.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert!(
        Layout::open(directory.path())
            .unwrap_err()
            .to_string()
            .contains("version 2.0.0")
    );
}

#[test]
fn a_layout_that_was_begun_is_finished() {
    for left in [&["blobs/sha256"][..], &["blobs/sha256", "index.json"]] {
        let directory = scratch();
        std::fs::create_dir_all(directory.path().join(left[0])).unwrap();
        if left.len() > 1 {
            std::fs::write(directory.path().join(".index.json.7"), "{").unwrap();
            let index = r#"{"schemaVersion":2,"manifests":[]}"#;
            std::fs::write(directory.path().join("index.json"), index).unwrap();
        }
        let layout = Layout::create(directory.path()).unwrap();
        assert!(layout.entries().unwrap().is_empty());
    }
}
