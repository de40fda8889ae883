//! Sizes are what the disk says, whatever the index remembers.

use std::process::Command;

use super::*;
use crate::CacheKey;

fn du(root: &Path) -> u64 {
    let output = Command::new("du")
        .args(["--summarize", "--block-size=1"])
        .arg(root)
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn filled(root: &Path) -> Store {
    let store = open(root);
    let layers = ["a", "b", "c"].map(|text| put_layer(&store, text));
    let image = put_image(&store, "image", &layers[..2]);
    store
        .tag(&reference("image"), &image.manifest_digest)
        .unwrap();
    put_image(&store, "second", &layers[..1]);
    store
        .put_record("run", &CacheKey::of(b"c"), &layers[2..], &())
        .unwrap();
    // A file that two layers share, as COPY makes them.
    let from = store.layer_path(&layers[0]).join("fs/file");
    fs::hard_link(from, store.layer_path(&layers[2]).join("fs/shared")).unwrap();
    for name in ["containers/c1", "volumes/v1"] {
        fs::create_dir_all(root.join(name)).unwrap();
        fs::write(root.join(name).join("data"), vec![7; 30_000]).unwrap();
    }
    store
}

/// Checks the parts against `du`. The index and this process's own directory change while measuring, so both are there
/// before.
pub(super) fn check(store: &Store) {
    store.disk_usage().unwrap();
    let usage = store.disk_usage().unwrap();
    let expected = du(store.root());
    assert_eq!(usage.total, expected);
    let others: u64 = usage.others.values().map(|share| share.bytes).sum();
    assert_eq!(
        usage.total,
        usage.images.bytes + usage.cache.bytes + usage.loose.bytes + others
    );
}

/// Deeper than there are descriptors or than a path can name, as a container can make it.
#[test]
fn very_deep_trees_are_measured() {
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    let directory = scratch();
    let store = filled(directory.path());
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let container = directory.path().join("containers/c1");
    let mut here = openat(rustix::fs::CWD, &container, flags, Mode::empty()).unwrap();
    for _ in 0..20_000 {
        for name in ["d", "e"] {
            mkdirat(&here, name, Mode::RWXU).unwrap();
        }
        here = openat(&here, "d", flags, Mode::empty()).unwrap();
    }
    check(&store);
    crate::store::removal::remove_counted(&container).unwrap();
    check(&store);
}

#[test]
fn equal_to_what_the_disk_says() {
    let directory = scratch();
    let store = filled(directory.path());
    check(&store);
    let usage = store.disk_usage().unwrap();
    assert_eq!((usage.images.count, usage.cache.count), (2, 1));
    assert!(usage.others["containers"].bytes >= 30_000 && usage.others["volumes"].count == 1);
    assert!(
        usage.cache.bytes >= 10_000 && usage.cache.bytes < 20_000 + 8192,
        "the shared file counts with the image"
    );
    let big = usage
        .per_image
        .iter()
        .map(|image| image.unique)
        .max()
        .unwrap();
    assert!(big >= 10_000, "one layer belongs to one image alone");
    put_layer(&store, "loose");
    check(&store);
    assert!(store.disk_usage().unwrap().loose.bytes >= 50_000);
}

#[test]
fn the_index_is_made_again() {
    let directory = scratch();
    let root = directory.path();
    let store = filled(root);
    check(&store);
    let index = root.join("index.db");
    assert!(index.exists());
    fs::remove_file(&index).unwrap();
    check(&store);
    for damage in [&b"not a database at all, by any means"[..], b"", &[0; 8192]] {
        fs::write(&index, damage).unwrap();
        check(&store);
    }
    let other = rusqlite::Connection::open(&index).unwrap();
    other
        .execute(
            "UPDATE about SET value = 'another boot' WHERE name = 'boot'",
            [],
        )
        .unwrap();
    other
        .execute("UPDATE trees SET own = own + 1000000", [])
        .unwrap();
    drop(other);
    check(&store);
}

#[test]
fn nothing_opens_the_index_but_measuring() {
    let directory = scratch();
    let store = filled(directory.path());
    store.resolve(&reference("image")).unwrap();
    store.record::<()>("run", &CacheKey::of(b"c")).unwrap();
    store.collect().unwrap();
    assert!(!directory.path().join("index.db").exists());
}
