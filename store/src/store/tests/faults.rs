//! Stores that are damaged, full, read-only or not stores.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::{CacheKey, Error};

#[test]
fn only_stores_are_opened() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("deep/store");
    let store = open(&root);
    assert_eq!(
        fs::metadata(&root).unwrap().permissions().mode() & 0o777,
        0o700
    );
    drop(store);
    fs::write(root.join("format"), "99\n").unwrap();
    let error = Store::open(&root, StoreOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("format 99") && error.contains("reads format 1"),
        "{error}"
    );
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("letter.txt"), "dear").unwrap();
    assert!(matches!(
        Store::open(&home, StoreOptions::default()),
        Err(Error::NotAStore { .. })
    ));
    assert_eq!(
        fs::read_dir(&home).unwrap().count(),
        1,
        "nothing was made there"
    );
    let file = Store::open(&home.join("letter.txt"), StoreOptions::default())
        .unwrap_err()
        .to_string();
    assert!(file.contains("letter.txt"), "{file}");
}

#[test]
fn damaged_small_files_count_as_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let image = put_image(&store, "a", &[]);
    store.tag(&reference("a"), &image.manifest_digest).unwrap();
    let key = CacheKey::of(b"key");
    store.put_record("run", &key, &[], &1).unwrap();
    for damage in ["", "{", "{\"digest\":\"sha256:12\"}", "\u{0}\u{0}"] {
        fs::write(store.tag_path(&reference("a:latest")), damage).unwrap();
        fs::write(
            directory.path().join("records/run").join(key.to_string()),
            damage,
        )
        .unwrap();
        assert_eq!(store.resolve(&reference("a")).unwrap(), None);
        assert!(store.tags().unwrap().is_empty());
        assert!(store.record::<u32>("run", &key).unwrap().is_none());
        store.tag(&reference("a"), &image.manifest_digest).unwrap();
        store.put_record("run", &key, &[], &1).unwrap();
        assert!(store.resolve(&reference("a")).unwrap().is_some());
        assert_eq!(store.record::<u32>("run", &key).unwrap().unwrap().body, 1);
    }
}
