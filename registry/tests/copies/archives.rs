//! Archives and directories, with skopeo and umoci as the other side, and archives that mean harm.

use std::fs::File;

use kiln_registry::{Archive, ArchiveStyle, ArchiveWriter, Directory, Platforms, small_blob};

use super::*;

async fn open(path: &Path) -> kiln_registry::Result<Archive> {
    Archive::open(
        File::open(path).unwrap(),
        &path.display().to_string(),
        path.parent().unwrap(),
    )
    .await
}

fn skopeo(arguments: &[&str]) -> String {
    let all: Vec<&str> = ["--insecure-policy"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    run("skopeo", &all)
}

#[tokio::test]
async fn every_kind_of_file_gives_the_same_image_back() {
    let root = scratch();
    let path = |name: &str| root.path().join(name);
    let image = TestImage::new(81, &[300_000, 0, 70_000]);
    image.write_layout(&path("l"), "x");
    let layout = Layout::open(&path("l")).unwrap();
    let plain = CopyOptions::default();

    for (file, style, name) in [
        ("oci.tar", ArchiveStyle::Oci, "v1"),
        ("docker.tar", ArchiveStyle::Docker, "docker.io/my/app:v1"),
    ] {
        let writer = ArchiveWriter::create(&path(file), style).unwrap();
        let done = copied(layout.clone(), &tag("x"), &writer, &[tag(name)], &plain).await;
        assert_eq!((done.digest, done.sent), (image.digest(), 4));
        assert!(!path(file).exists(), "not before it is whole");
        writer.finish().await.unwrap();
        let archive = open(&path(file)).await.unwrap();
        assert_eq!(
            archive.only().unwrap(),
            ManifestName::Digest(image.digest())
        );
        let out = Layout::create(&path(&format!("from-{file}"))).unwrap();
        let done = copied(archive, &tag(name), &out, &[tag("y")], &plain).await;
        assert_eq!(done.digest, image.digest());
    }
    let directory = Directory::create(&path("dir")).unwrap();
    copied(
        layout.clone(),
        &tag("x"),
        &directory,
        &[Directory::root_name()],
        &plain,
    )
    .await;
    let out = Layout::create(&path("from-dir")).unwrap();
    let directory = Directory::open(&path("dir")).unwrap();
    let done = copied(
        directory,
        &Directory::root_name(),
        &out,
        &[tag("y")],
        &plain,
    )
    .await;
    assert_eq!(done.digest, image.digest());

    if !has("skopeo") {
        return;
    }
    // skopeo reads all of them, and we read what it writes.
    let shown = |name: &str| path(name).display().to_string();
    for source in [
        format!("oci-archive:{}:v1", shown("oci.tar")),
        format!("dir:{}", shown("dir")),
    ] {
        let raw = skopeo(&["inspect", "--raw", &source]);
        assert_eq!(Digest::sha256(raw.as_bytes()), image.digest(), "{source}");
    }
    let from = format!("docker-archive:{}:my/app:v1", shown("docker.tar"));
    skopeo(&["copy", &from, &format!("dir:{}", shown("s-dir"))]);
    skopeo(&[
        "copy",
        &from,
        &format!("oci-archive:{}:s", shown("s-oci.tar")),
    ]);
    skopeo(&[
        "copy",
        &from,
        &format!("docker-archive:{}:s/app:1", shown("s-docker.tar")),
    ]);
    // skopeo writes configurations anew when it changes their media type; what is in the layers stays.
    let expected: kiln_store::ImageConfig = serde_json::from_slice(&image.config).unwrap();
    let found = Directory::open(&path("s-dir"))
        .unwrap()
        .manifest(&Directory::root_name())
        .await;
    let found: Manifest = serde_json::from_slice(&found.unwrap().bytes).unwrap();
    assert_eq!(found.config.digest, Digest::sha256(&image.config));
    for (file, name) in [("s-oci.tar", "s"), ("s-docker.tar", "s/app:1")] {
        let archive = open(&path(file)).await.unwrap();
        let out = Layout::create(&path(&format!("from-{file}"))).unwrap();
        let done = copied(archive, &tag(name), &out, &[tag("y")], &plain).await;
        let written = out
            .manifest(&ManifestName::Digest(done.digest))
            .await
            .unwrap();
        let written: Manifest = serde_json::from_slice(&written.bytes).unwrap();
        let bytes = small_blob(&out, &written.config, 1 << 20).await.unwrap();
        let config: kiln_store::ImageConfig = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(config.diff_ids(), expected.diff_ids(), "{file}");
    }
}

#[tokio::test]
async fn an_index_fits_a_directory_and_docker_sees_this_machines_image() {
    let root = scratch();
    let (layout, index, digest) = multi(&root.path().join("l")).await;
    let directory = Directory::create(&root.path().join("dir")).unwrap();
    let plain = CopyOptions::default();
    copied(
        layout.clone(),
        &tag("multi"),
        &directory,
        &[Directory::root_name()],
        &plain,
    )
    .await;
    if has("skopeo") {
        let from = format!("dir:{}", root.path().join("dir").display());
        let to = format!("oci:{}:x", root.path().join("skopeo").display());
        skopeo(&["copy", "--all", &from, &to]);
        let read = Layout::open(&root.path().join("skopeo")).unwrap();
        let found = read.manifest(&tag("x")).await.unwrap();
        assert_eq!(found.descriptor.digest, digest);
    }
    let path = root.path().join("docker.tar");
    let writer = ArchiveWriter::create(&path, ArchiveStyle::Docker).unwrap();
    copied(layout, &tag("multi"), &writer, &[tag("app:1")], &plain).await;
    writer.finish().await.unwrap();
    let archive = open(&path).await.unwrap();
    assert_eq!(archive.images()[0].0, digest);
    let one = CopyOptions {
        platforms: Platforms::One(Platform::new("linux", "arm64", None)),
        ..CopyOptions::default()
    };
    let out = Layout::create(&root.path().join("out")).unwrap();
    let done = copied(archive, &tag("app:1"), &out, &[tag("y")], &one).await;
    assert_eq!(done.digest, index.manifests[1].digest);
}

#[tokio::test]
async fn archives_of_older_dockers_and_compressed_ones_are_read() {
    let root = scratch();
    let image = TestImage::new(82, &[40_000, 10]);
    let config: kiln_store::ImageConfig = serde_json::from_slice(&image.config).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    let plain: Vec<Vec<u8>> = image
        .layers
        .iter()
        .map(|layer| {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&layer[..]), &mut bytes)
                .unwrap();
            bytes
        })
        .collect();
    add("one/layer.tar", &plain[0]);
    // The second one is compressed, as some tools leave it.
    add("two/layer.tar", &image.layers[1]);
    add("config.json", &image.config);
    let list = serde_json::json!([{
        "Config": "config.json", "RepoTags": ["old/app:1", "old/app:2"], "Layers": ["one/layer.tar", "two/layer.tar"],
    }]);
    add("manifest.json", list.to_string().as_bytes());
    let archive = builder.into_inner().unwrap();
    let mut zstd = Vec::new();
    kiln_store::layer::repack(
        &archive[..],
        &mut zstd,
        kiln_store::Compression::ZSTD,
        &kiln_store::Limits::default(),
    )
    .unwrap();
    for (name, bytes) in [
        ("old.tar", archive.clone()),
        ("old.tar.gz", support::image::gzip(&archive)),
        ("old.tar.zst", zstd),
    ] {
        let path = root.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let archive = open(&path).await.unwrap();
        let names: Vec<String> = archive.images()[0]
            .1
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["docker.io/old/app:1", "docker.io/old/app:2"]);
        let store = support::store(&root.path().join(format!("store-{name}")));
        let pulled = kiln_registry::pull_from(
            &archive,
            &tag("old/app:2"),
            &store,
            &Platform::host(),
            &[],
            &ignore,
        )
        .await
        .unwrap();
        assert_eq!(pulled.image.config.diff_ids(), config.diff_ids());
    }
    let cut = root.path().join("cut.tar.gz");
    std::fs::write(&cut, &support::image::gzip(&archive)[..3000]).unwrap();
    assert!(open(&cut).await.is_err());
}

#[tokio::test]
async fn content_under_a_wrong_digest_is_refused_and_nothing_appears() {
    let root = scratch();
    let image = TestImage::new(83, &[40_000]);
    image.write_layout(&root.path().join("l"), "x");
    let (digest, bytes) = image.blobs()[1].clone();
    let mut damaged = bytes;
    damaged[100] ^= 1;
    std::fs::write(
        root.path().join("l/blobs/sha256").join(digest.hex()),
        damaged,
    )
    .unwrap();
    let from: Arc<dyn Repository> = Arc::new(Layout::open(&root.path().join("l")).unwrap());
    let path = root.path().join("out.tar");
    {
        let writer = ArchiveWriter::create(&path, ArchiveStyle::Oci).unwrap();
        let options = CopyOptions::default();
        let error = copy(&from, &tag("x"), &writer, &[tag("y")], &options, &ignore).await;
        assert!(error.unwrap_err().to_string().contains(&digest.to_string()));
        assert!(writer.finish().await.is_err());
    }
    let left: Vec<_> = std::fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["l"], "nothing half-made stays");

    // Into the store from an archive that lies.
    let mut builder = tar::Builder::new(Vec::new());
    let walk = |at: &str| std::fs::read(root.path().join("l").join(at)).unwrap();
    for name in [
        "index.json".to_owned(),
        format!("blobs/sha256/{}", image.digest().hex()),
        format!("blobs/sha256/{}", digest.hex()),
        format!("blobs/sha256/{}", image.blobs()[0].0.hex()),
    ] {
        let bytes = walk(&name);
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, &name, &bytes[..]).unwrap();
    }
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
    let store = support::store(&root.path().join("store"));
    let archive = open(&path).await.unwrap();
    let error =
        kiln_registry::pull_from(&archive, &tag("x"), &store, &Platform::host(), &[], &ignore)
            .await;
    assert!(error.unwrap_err().to_string().contains(&digest.to_string()));
    assert!(store.images().unwrap().is_empty());
}
