//! What a prune takes and what it leaves.

use super::*;
use crate::{CacheKey, LabelFilter, PruneImages, PruneOptions, PruneRecords};

fn prune(store: &Store, options: PruneOptions) -> crate::PruneReport {
    let forecast = store
        .prune(&PruneOptions {
            dry_run: true,
            ..options.clone()
        })
        .unwrap();
    let report = store.prune(&options).unwrap();
    assert_eq!(forecast, report, "a dry run says what happens");
    report
}

/// Images `old` (tagged), `loose` (dangling), a cached layer and a stray one, all left by an earlier process.
struct Shop {
    directory: tempfile::TempDir,
    old: Image,
    loose: Image,
    layers: [DiffId; 4],
    key: CacheKey,
}

impl Shop {
    fn new() -> Self {
        let directory = scratch();
        let store = open(directory.path());
        let layers = ["base", "top", "cached", "stray"].map(|text| put_layer(&store, text));
        let old = put_image(&store, "old", &layers[..1]);
        store.tag(&reference("old"), &old.manifest_digest).unwrap();
        let loose = put_image(&store, "loose", &layers[..2]);
        let key = CacheKey::of(b"cached");
        store.put_record("run", &key, &layers[2..3], &()).unwrap();
        store.put_blob(b"stray").unwrap();
        Self {
            directory,
            old,
            loose,
            layers,
            key,
        }
    }

    fn open(&self) -> Store {
        open(self.directory.path())
    }

    fn layers_left(&self) -> Vec<bool> {
        let store = self.open();
        self.layers
            .iter()
            .map(|layer| store.layer_path(layer).exists())
            .collect()
    }
}

#[test]
fn nothing_but_strays_goes_by_default() {
    let shop = Shop::new();
    let report = prune(&shop.open(), PruneOptions::default());
    assert_eq!(
        (report.directories, report.blobs, report.records),
        (1, 1, 0)
    );
    assert!(report.bytes > 0 && report.images.is_empty());
    assert_eq!(shop.layers_left(), [true, true, true, false]);
    assert_eq!(
        prune(&shop.open(), PruneOptions::default()),
        crate::PruneReport::default()
    );
}

#[test]
fn dangling_images() {
    let shop = Shop::new();
    let report = prune(
        &shop.open(),
        PruneOptions {
            images: PruneImages::Dangling,
            ..Default::default()
        },
    );
    assert_eq!(report.images, [shop.loose.manifest_digest]);
    assert_eq!(shop.layers_left(), [true, false, true, false]);
    assert!(shop.open().image(&shop.old.manifest_digest).is_ok());
    assert!(shop.open().image(&shop.loose.manifest_digest).is_err());
}

#[test]
fn everything() {
    let shop = Shop::new();
    let options = PruneOptions {
        images: PruneImages::All,
        records: PruneRecords::All,
        ..Default::default()
    };
    let report = prune(&shop.open(), options);
    assert_eq!(
        (report.images.len(), report.tags.len(), report.records),
        (2, 1, 1)
    );
    assert_eq!(shop.layers_left(), [false; 4]);
    let usage = shop.open().disk_usage().unwrap();
    assert_eq!(
        (usage.images.bytes, usage.cache.bytes, usage.loose.bytes),
        (0, 0, 0)
    );
}

#[test]
fn filters() {
    let label = |name: &str, value: Option<&str>, negated| LabelFilter {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        negated,
    };
    let check = |labels: Vec<LabelFilter>, before: Option<u64>, expected: &[&str]| {
        let shop = Shop::new();
        let options = PruneOptions {
            images: PruneImages::All,
            labels,
            before,
            ..Default::default()
        };
        let report = prune(&shop.open(), options);
        let mut authors: Vec<&str> = Vec::new();
        for (name, image) in [("loose", &shop.loose), ("old", &shop.old)] {
            if report.images.contains(&image.manifest_digest) {
                authors.push(name);
            }
        }
        assert_eq!(authors, expected);
    };
    check(vec![label("author", None, false)], None, &["loose", "old"]);
    check(vec![label("author", Some("old"), false)], None, &["old"]);
    check(vec![label("author", Some("old"), true)], None, &["loose"]);
    check(vec![label("absent", None, false)], None, &[]);
    check(vec![label("absent", None, true)], None, &["loose", "old"]);
    check(vec![], Some(1000), &[]);
    check(vec![], Some(u64::MAX), &["loose", "old"]);
}

#[test]
fn live_processes_and_pins_keep_what_they_use() {
    let shop = Shop::new();
    let everything = PruneOptions {
        images: PruneImages::All,
        records: PruneRecords::All,
        ..Default::default()
    };
    let user = shop.open();
    user.image(&shop.old.manifest_digest).unwrap();
    user.record::<()>("run", &shop.key).unwrap().unwrap();
    shop.open()
        .pin("container-1", &[], &shop.layers[3..])
        .unwrap();
    let report = prune(&shop.open(), everything.clone());
    assert_eq!(report.images, [shop.loose.manifest_digest]);
    assert_eq!(report.records, 1);
    assert_eq!(shop.layers_left(), [true, false, true, true]);
    assert!(user.image(&shop.old.manifest_digest).is_ok());
    drop(user);
    assert_eq!(shop.open().pins().unwrap(), ["container-1"]);
    prune(&shop.open(), everything.clone());
    assert_eq!(shop.layers_left(), [false, false, false, true]);
    shop.open().unpin("container-1").unwrap();
    prune(&shop.open(), everything);
    assert_eq!(shop.layers_left(), [false; 4]);
}

#[test]
fn a_pinned_image_stays_whole() {
    let shop = Shop::new();
    shop.open()
        .pin("served", &[shop.loose.manifest_digest], &[])
        .unwrap();
    let options = PruneOptions {
        images: PruneImages::All,
        records: PruneRecords::All,
        ..Default::default()
    };
    let report = prune(&shop.open(), options);
    assert_eq!(report.images, [shop.old.manifest_digest]);
    assert!(shop.open().image(&shop.loose.manifest_digest).is_ok());
    assert_eq!(shop.layers_left(), [true, true, false, false]);
}

#[test]
fn the_cap_drops_what_was_not_used_for_longest() {
    let directory = scratch();
    let root = directory.path();
    let store = open(root);
    let keys: Vec<CacheKey> = (0..8_u32)
        .map(|number| CacheKey::of(&number.to_le_bytes()))
        .collect();
    for (number, key) in keys.iter().enumerate() {
        let layer = put_layer(&store, &format!("layer {number}"));
        store.put_record("run", key, &[layer], &()).unwrap();
    }
    drop(store);
    let before = open(root).disk_usage().unwrap().cache.bytes;
    // The oldest is found, and is now the youngest.
    let store = open(root);
    store.record::<()>("run", &keys[0]).unwrap().unwrap();
    drop(store);
    let limit = before / 2;
    let report = prune(
        &open(root),
        PruneOptions {
            keep_bytes: Some(limit),
            ..Default::default()
        },
    );
    assert_eq!(report.records, 4);
    assert!(open(root).disk_usage().unwrap().cache.bytes <= limit);
    let store = open(root);
    let left: Vec<usize> = (0..8)
        .filter(|n| store.record::<()>("run", &keys[*n]).unwrap().is_some())
        .collect();
    assert_eq!(left, [0, 5, 6, 7]);
    drop(store);
    let report = prune(
        &open(root),
        PruneOptions {
            keep_bytes: Some(0),
            ..Default::default()
        },
    );
    assert_eq!(report.records, 4);
}

#[test]
fn an_image_is_removed_with_what_only_it_needs() {
    let shop = Shop::new();
    let store = shop.open();
    assert!(
        store
            .remove_image(&Digest::sha256(b"absent"))
            .unwrap()
            .is_none()
    );
    let report = store
        .remove_image(&shop.old.manifest_digest)
        .unwrap()
        .unwrap();
    assert_eq!(report.images, [shop.old.manifest_digest]);
    assert_eq!(report.tags, [reference("old:latest")]);
    assert!(store.resolve(&reference("old")).unwrap().is_none());
    drop(store);
    assert_eq!(
        shop.layers_left(),
        [true, true, true, false],
        "the other image still needs the base"
    );
}

#[test]
fn layers_bring_their_content_and_chains_go_with_their_layers() {
    let directory = scratch();
    let root = directory.path();
    let store = open(root);
    let layers = ["a", "b"].map(|text| put_layer(&store, text));
    let blob = store.put_blob(b"compressed a").unwrap();
    store
        .update_directory(Held::Layer(layers[0]), &[Held::Blob(blob)], &"a")
        .unwrap();
    let chain = crate::ChainId::of(&layers).unwrap();
    let temporary = store.temporary_directory("tree").unwrap();
    let making = temporary.path().join("chain");
    fs::create_dir(&making).unwrap();
    let needs = layers.map(Held::Layer);
    store
        .put_directory(Held::Chain(chain), &making, &needs, &())
        .unwrap();
    drop(temporary);
    store
        .put_record("run", &CacheKey::of(b"a"), &layers[..1], &())
        .unwrap();
    let top = CacheKey::of(b"b");
    store.put_record("run", &top, &layers[1..], &()).unwrap();
    drop(store);
    assert_eq!(
        prune(&open(root), PruneOptions::default()),
        crate::PruneReport::default()
    );
    open(root).remove_record("run", &top).unwrap();
    let report = prune(&open(root), PruneOptions::default());
    assert_eq!((report.directories, report.blobs), (2, 0));
    assert!(open(root).blob_size(&blob).unwrap().is_some());
    assert!(!open(root).chain_path(&chain).exists());
}

#[test]
fn records_of_lost_layers_go() {
    let shop = Shop::new();
    let store = shop.open();
    store.discard(&Held::Layer(shop.layers[2])).unwrap();
    store.put_record("note", &shop.key, &[], &()).unwrap();
    drop(store);
    let report = prune(&shop.open(), PruneOptions::default());
    assert_eq!(report.records, 1);
    assert!(
        shop.open()
            .record::<()>("note", &shop.key)
            .unwrap()
            .is_some()
    );
}
