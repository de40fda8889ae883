//! Checking everything, and what is removed so that it can be made again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{CommitOptions, Damage, VerifyReport};

/// A real layer, made as a build makes it.
fn commit(store: &Store, text: &str) -> DiffId {
    let below = store.stack(&[]).unwrap();
    let tree = store.new_tree(&below).unwrap();
    fs::write(tree.fs().join("file"), text).unwrap();
    let options = CommitOptions {
        clamp_mtime: Some(0),
        ..CommitOptions::default()
    };
    store.commit_tree(tree, &below, &options).unwrap().diff_id
}

fn verify(store: &Store, repair: bool) -> VerifyReport {
    let checked = AtomicUsize::new(0);
    let report = store
        .verify(repair, &|_| {
            checked.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    assert!(checked.load(Ordering::Relaxed) > report.blobs + report.layers);
    report
}

#[test]
fn damage_is_found_removed_and_made_good() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = commit(&store, "right");
    let sound = commit(&store, "sound");
    let image = put_image(&store, "image", &[layer, sound]);
    store
        .tag(&reference("image"), &image.manifest_digest)
        .unwrap();
    let blob = store.put_blob(b"right").unwrap();
    let report = verify(&store, true);
    assert_eq!(
        (report.damage.as_slice(), report.blobs, report.layers),
        (&[][..], 3, 2)
    );
    assert!(report.bytes > 2000);

    fs::write(store.layer_path(&layer).join("fs/file"), "wrong").unwrap();
    fs::write(store.blob_path(&blob), "wrong").unwrap();
    for repair in [false, true] {
        let damage = verify(&store, repair).damage;
        let [
            Damage::Content { digest, found },
            Damage::Layer { diff_id, .. },
        ] = damage.as_slice()
        else {
            panic!("{damage:?}")
        };
        assert_eq!((*digest, *diff_id), (blob, layer));
        assert_eq!(*found, Digest::sha256(b"wrong").to_string());
    }
    let damage = verify(&store, true).damage;
    assert_eq!(
        damage,
        [Damage::Missing {
            image: image.manifest_digest,
            diff_id: layer
        }]
    );
    assert_eq!(commit(&store, "right"), layer);
    store.put_blob(b"right").unwrap();
    assert_eq!(verify(&store, true).damage, []);
}

#[test]
fn a_damaged_entry_is_damage() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = commit(&store, "text");
    fs::write(store.layer_path(&layer).join("entry.json"), "{").unwrap();
    assert!(matches!(
        verify(&store, true).damage.as_slice(),
        [Damage::Layer { .. }]
    ));
    assert!(store.layer(&layer).unwrap().is_none());
    assert_eq!(commit(&store, "text"), layer);
    assert_eq!(verify(&store, false).damage, []);
}
