//! Other compressions and media types: the content stays, digests change.

use kiln_registry::Conversion;
use kiln_store::Compression;

use super::*;

#[tokio::test]
async fn layers_are_compressed_anew() {
    let root = scratch();
    let (layout, _, digest) = multi(&root.path().join("l")).await;
    let convert = |compression, to_oci| CopyOptions {
        conversion: Conversion {
            to_oci,
            compression,
            scratch: Some(root.path().to_owned()),
        },
        ..CopyOptions::default()
    };
    let out = Layout::create(&root.path().join("zstd")).unwrap();
    let options = convert(Some(Compression::ZSTD), false);
    let done = copied(layout.clone(), &tag("multi"), &out, &[tag("z")], &options).await;
    assert_ne!(done.digest, digest);
    let index: Index =
        serde_json::from_slice(&out.manifest(&tag("z")).await.unwrap().bytes).unwrap();
    let name = ManifestName::Digest(index.manifests[0].digest);
    let manifest: Manifest =
        serde_json::from_slice(&out.manifest(&name).await.unwrap().bytes).unwrap();
    assert!(
        manifest
            .layers
            .iter()
            .all(|layer| layer.media_type == media_type::OCI_LAYER_ZSTD)
    );
    // And back: the same bytes whatever they came from.
    let back = Layout::create(&root.path().join("gzip")).unwrap();
    let options = convert(Some(Compression::GZIP), false);
    let first = copied(out, &tag("z"), &back, &[tag("g")], &options).await;
    let plain = Layout::create(&root.path().join("plain")).unwrap();
    let options = convert(Some(Compression::None), false);
    copied(back.clone(), &tag("g"), &plain, &[tag("p")], &options).await;
    let options = convert(Some(Compression::GZIP), false);
    let second = copied(plain, &tag("p"), &back, &[tag("g2")], &options).await;
    assert_eq!(first.digest, second.digest);
    if has("umoci") {
        let one = CopyOptions {
            platforms: Platforms::One(Platform::host()),
            ..CopyOptions::default()
        };
        copied(back.clone(), &tag("g"), &back, &[tag("host")], &one).await;
        let (from, to) = (
            format!("{}:host", back.root().display()),
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
        assert!(to.join("rootfs/file-0").exists());
    }
}

#[tokio::test]
async fn dockers_media_types_become_the_ocis() {
    let root = scratch();
    let image = TestImage::new(51, &[5_000]);
    let mut manifest: Manifest = serde_json::from_slice(&image.manifest).unwrap();
    manifest.media_type = Some(media_type::DOCKER_MANIFEST.to_owned());
    manifest.config.media_type = media_type::DOCKER_CONFIG.to_owned();
    manifest.layers[0].media_type = media_type::DOCKER_LAYER_GZIP.to_owned();
    let layout = Layout::create(&root.path().join("l")).unwrap();
    put(
        &layout,
        &tag("d"),
        &image.blobs(),
        &manifest.to_bytes().unwrap(),
    )
    .await;
    let options = CopyOptions {
        conversion: Conversion {
            to_oci: true,
            ..Conversion::default()
        },
        ..CopyOptions::default()
    };
    let out = Layout::create(&root.path().join("out")).unwrap();
    let done = copied(layout, &tag("d"), &out, &[tag("o")], &options).await;
    assert_eq!(
        done.digest,
        image.digest(),
        "the same image in the OCI's words"
    );
    let again = copied(out.clone(), &tag("o"), &out, &[tag("p")], &options).await;
    assert_eq!(
        again.digest, again.source,
        "there is nothing left to convert"
    );
}

#[tokio::test]
async fn a_damaged_layer_is_not_converted() {
    let root = scratch();
    let image = TestImage::new(52, &[50_000]);
    image.write_layout(&root.path().join("l"), "x");
    let (digest, bytes) = image.blobs()[1].clone();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(
        root.path().join("l/blobs/sha256").join(digest.hex()),
        damaged,
    )
    .unwrap();
    let options = CopyOptions {
        conversion: Conversion {
            to_oci: false,
            compression: Some(Compression::ZSTD),
            scratch: Some(root.path().to_owned()),
        },
        ..CopyOptions::default()
    };
    let out = Layout::create(&root.path().join("out")).unwrap();
    let from: Arc<dyn Repository> = Arc::new(Layout::open(&root.path().join("l")).unwrap());
    let error = copy(&from, &tag("x"), &out, &[tag("y")], &options, &ignore).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&digest.to_string()), "{error}");
    assert!(out.entries().unwrap().is_empty());
}
