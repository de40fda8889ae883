//! Stores that are damaged, full, read-only or not stores.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

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

/// Runs a test of this executable in a mount namespace of its own, where `script` has prepared `$1`; says when it cannot.
fn in_namespace(script: &str, test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let namespace = ["--mount", "--user", "--map-root-user"];
    let probe = Command::new("unshare")
        .args(namespace)
        .args(["mount", "-t", "tmpfs", "tmpfs"])
        .arg(directory.path())
        .output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: needs mounts in a user namespace: {probe:?}");
        return;
    }
    let output = Command::new("unshare")
        .args(namespace)
        .args([
            "sh",
            "-euc",
            &format!(
                "{script}; exec \"$2\" --exact store::tests::faults::{test} --ignored --nocapture"
            ),
            "sh",
        ])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .env(PLACE, directory.path())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// Where the tests in a namespace find what was prepared.
const PLACE: &str = "KILN_STORE_TEST_PLACE";

fn place() -> Option<std::path::PathBuf> {
    std::env::var_os(PLACE).map(Into::into)
}

#[test]
fn a_full_disk() {
    in_namespace(
        "mount -t tmpfs -o size=1m,nr_inodes=200 tmpfs \"$1\"",
        "on_a_full_disk",
    );
}

#[test]
#[ignore = "run by another test in a namespace of its own"]
fn on_a_full_disk() {
    let Some(place) = place() else { return };
    let root = place.join("store");
    let store = open(&root);
    let image = put_image(&store, "kept", &[put_layer(&store, "kept")]);
    store
        .tag(&reference("kept"), &image.manifest_digest)
        .unwrap();
    let large = vec![7; 400_000];
    let first = store.put_blob(&large).unwrap();
    let mut other = large.clone();
    other.push(8);
    let again = [&other[..], &other[..]].concat();
    let error = store.put_blob(&again).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        error.io_kind(),
        Some(std::io::ErrorKind::StorageFull),
        "{text}"
    );
    assert!(
        text.contains("kiln prune") && text.contains("store"),
        "{text}"
    );
    drop(store);

    // To the last byte: measuring and pruning work all the same, and then the same thing succeeds.
    let filler = place.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 512]).is_ok() {}
    let store = open(&root);
    assert!(store.put_blob(b"more").is_err());
    assert!(store.disk_usage().unwrap().loose.reclaimable >= 400_000);
    let report = store
        .prune(&crate::PruneOptions {
            keep_bytes: Some(0),
            ..Default::default()
        })
        .unwrap();
    assert!(report.bytes >= 400_000, "{report:?}");
    assert!(store.open_blob(&first).is_err());
    drop(store);
    drop(file);
    fs::remove_file(filler).unwrap();
    let store = open(&root);
    store.put_blob(&again).unwrap();
    assert!(store.image(&image.manifest_digest).is_ok());
}

#[test]
fn a_read_only_store() {
    let script = "mount -t tmpfs tmpfs \"$1\"; PREPARE=1 \"$2\" --exact store::tests::faults::on_a_read_only_store --ignored; mount -o remount,bind,ro \"$1\"";
    in_namespace(script, "on_a_read_only_store");
}

#[test]
#[ignore = "run by another test in a namespace of its own"]
fn on_a_read_only_store() {
    let Some(place) = place() else { return };
    let root = place.join("store");
    let key = CacheKey::of(b"key");
    if std::env::var_os("PREPARE").is_some() {
        let store = open(&root);
        let layer = put_layer(&store, "layer");
        let image = put_image(&store, "a", &[layer]);
        store.tag(&reference("a"), &image.manifest_digest).unwrap();
        store.put_record("run", &key, &[layer], &1).unwrap();
        return;
    }
    let store = open(&root);
    let digest = store.resolve(&reference("a")).unwrap().unwrap();
    assert_eq!(
        store.image(&digest).unwrap().config.author.as_deref(),
        Some("a")
    );
    assert_eq!(store.record::<u32>("run", &key).unwrap().unwrap().body, 1);
    assert!(store.disk_usage().unwrap().images.bytes > 0);
    for error in [
        store.put_blob(b"new").unwrap_err(),
        store.tag(&reference("b"), &digest).unwrap_err(),
        store.collect().unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("read-only file system, choose another root")
                && text.contains(&*root.to_string_lossy()),
            "{text}"
        );
    }
    let error = Store::open(&place.join("new"), StoreOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("choose another root"), "{error}");
}
