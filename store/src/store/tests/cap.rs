//! What a byte cap takes, and in which order.

use super::*;
use crate::layer::Limits;
use crate::{CacheKey, CommitOptions, Compression, PruneImages, PruneOptions};

/// A layer as a build makes it, of a size of its own, with its compressed form.
fn layer(store: &Store, text: &str) -> (DiffId, Digest) {
    let below = store.stack(&[]).unwrap();
    let tree = store.new_tree(&below).unwrap();
    fs::write(tree.fs().join("file"), text.repeat(100_000)).unwrap();
    let options = CommitOptions {
        clamp_mtime: Some(0),
        compression: Some(Compression::None),
    };
    let record = store.commit_tree(tree, &below, &options).unwrap();
    (record.diff_id, record.blobs[0].digest)
}

#[test]
fn what_a_registry_has_goes_before_the_cache_and_images_last() {
    let directory = scratch();
    let root = directory.path();
    let store = open(root);
    let (pulled, pulled_blob) = layer(&store, "pulled");
    let (own, own_blob) = layer(&store, "own");
    let (cached, cached_blob) = layer(&store, "cached");
    let image = put_image(&store, "image", &[pulled, own]);
    store
        .tag(&reference("image"), &image.manifest_digest)
        .unwrap();
    let key = CacheKey::of(b"cached");
    store.put_record("run", &key, &[cached], &()).unwrap();
    store
        .note_origin([pulled_blob], &reference("one.example/app"))
        .unwrap();
    drop(store);
    let content = || {
        let usage = open(root).disk_usage().unwrap();
        usage.images.bytes + usage.cache.bytes
    };
    let here = |store: &Store, blob: &Digest| store.blob_size(blob).unwrap().is_some();
    let prune = |keep: u64, images: PruneImages| {
        let options = PruneOptions {
            images,
            keep_bytes: Some(keep),
            ..PruneOptions::default()
        };
        let forecast = open(root)
            .prune(&PruneOptions {
                dry_run: true,
                ..options.clone()
            })
            .unwrap();
        assert_eq!(forecast, open(root).prune(&options).unwrap());
    };
    prune(content(), PruneImages::All);
    assert!(
        here(&open(root), &pulled_blob),
        "nothing goes while it fits"
    );

    prune(content() - 1, PruneImages::All);
    let store = open(root);
    assert!(!here(&store, &pulled_blob) && here(&store, &own_blob) && here(&store, &cached_blob));
    assert!(store.layer(&pulled).unwrap().is_some());
    assert_eq!(
        store.origins_in(&pulled_blob, "one.example").unwrap().len(),
        1,
        "the layer is still here, so where its blob was is still of use"
    );
    drop(store);

    prune(content() - 1, PruneImages::All);
    let store = open(root);
    assert!(store.record::<()>("run", &key).unwrap().is_none());
    assert!(!here(&store, &cached_blob) && store.layer(&cached).unwrap().is_none());
    assert!(store.resolve(&reference("image")).unwrap().is_some());
    drop(store);

    prune(0, PruneImages::None);
    assert!(
        open(root).resolve(&reference("image")).unwrap().is_some(),
        "images with names go only when they are asked for"
    );
    prune(0, PruneImages::All);
    let store = open(root);
    assert!(store.resolve(&reference("image")).unwrap().is_none());
    assert!(store.origins().unwrap().is_empty());
}

#[test]
fn a_cap_on_the_cache_leaves_images_out_of_account() {
    let directory = scratch();
    let root = directory.path();
    let store = open(root);
    let layers: Vec<DiffId> = ["large", "a", "b"].map(|text| layer(&store, text).0).into();
    let image = put_image(&store, "image", &layers[..1]);
    store
        .tag(&reference("image"), &image.manifest_digest)
        .unwrap();
    for (name, layer) in ["a", "b"].iter().zip(&layers[1..]) {
        let key = CacheKey::of(name.as_bytes());
        store.put_record("run", &key, &[*layer], &()).unwrap();
    }
    drop(store);
    let cache = open(root).disk_usage().unwrap().cache.bytes;
    let options = |keep| PruneOptions {
        keep_bytes: Some(keep),
        only_cache: true,
        ..PruneOptions::default()
    };
    assert_eq!(open(root).prune(&options(cache)).unwrap().records, 0);
    assert_eq!(open(root).prune(&options(cache - 1)).unwrap().records, 1);
    assert_eq!(open(root).prune(&options(0)).unwrap().records, 1);
    assert!(open(root).resolve(&reference("image")).unwrap().is_some());
}

/// A container on a deep image keeps the merged directory that it is mounted on.
#[test]
fn the_merged_directory_of_a_pinned_deep_stack_stays() {
    let directory = scratch();
    let root = directory.path();
    let store = open(root);
    let mut layers = Vec::new();
    for number in 0..130 {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        header.set_size(0);
        tar.append_data(&mut header, format!("f{number}"), &[][..])
            .unwrap();
        let bytes = tar.into_inner().unwrap();
        let digest = Digest::sha256(&bytes);
        let blob = Descriptor::new(media_type::OCI_LAYER, digest, bytes.len() as u64);
        let diff_id = DiffId(digest);
        store
            .ingest_layer(&mut &bytes[..], &blob, &diff_id, &Limits::default())
            .unwrap();
        layers.push(diff_id);
    }
    let lowers = store.stack(&layers).unwrap().lowers().to_vec();
    assert!(lowers.len() < 40, "{}", lowers.len());
    store.pin("container", &[], &layers).unwrap();
    drop(store);
    let store = open(root);
    store.prune(&PruneOptions::default()).unwrap();
    for lower in &lowers {
        assert!(lower.exists(), "{}", lower.display());
    }
    assert_eq!(open(root).stack(&layers).unwrap().lowers(), lowers);
    store.unpin("container").unwrap();
    store.prune(&PruneOptions::default()).unwrap();
    assert!(lowers.iter().all(|lower| !lower.exists()));
}
