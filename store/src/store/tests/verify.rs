//! Checking everything, and what is made again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::layer::Limits;
use crate::{CacheKey, CommitOptions, Compression, Damage, Remedy, VerifyReport};

/// A real layer, made as a build makes it.
fn commit(store: &Store, text: &str, compression: Option<Compression>) -> DiffId {
    let below = store.stack(&[]).unwrap();
    let tree = store.new_tree(&below).unwrap();
    fs::create_dir(tree.fs().join("etc")).unwrap();
    fs::write(tree.fs().join("etc/file"), text).unwrap();
    fs::write(tree.fs().join("etc/other"), "other").unwrap();
    let options = CommitOptions {
        clamp_mtime: Some(0),
        compression,
    };
    store.commit_tree(tree, &below, &options).unwrap().diff_id
}

/// The layer of another store, received with its blob.
fn receive(store: &Store, text: &str) -> (DiffId, Digest) {
    let directory = scratch();
    let there = open(directory.path());
    let layer = commit(&there, text, Some(Compression::GZIP));
    let blob = there.layer(&layer).unwrap().unwrap().blobs.remove(0);
    let mut file = there.open_blob(&blob.digest).unwrap();
    store
        .ingest_layer(&mut file, &blob, &layer, &Limits::default())
        .unwrap();
    (layer, blob.digest)
}

fn verify(store: &Store) -> VerifyReport {
    let checked = AtomicUsize::new(0);
    let report = store
        .verify(&|_| {
            checked.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    assert!(checked.load(Ordering::Relaxed) > 0);
    report
}

/// Changes a file and nothing that could be seen without reading it.
fn spoil(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
}

fn found(damage: &[Damage]) -> &str {
    match damage {
        [Damage::Content { found, .. } | Damage::Layer { found, .. }] => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_sound_is_left_alone() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = commit(&store, "right", None);
    let (received, _) = receive(&store, "received");
    let image = put_image(&store, "image", &[layer, received]);
    store
        .tag(&reference("image"), &image.manifest_digest)
        .unwrap();
    store
        .put_record("run", &CacheKey::of(b"key"), &[layer], &())
        .unwrap();
    store.stack(&[layer, received]).unwrap();
    store.keep_chain(&[layer, received]).unwrap();
    let report = verify(&store);
    assert_eq!(report.damage, []);
    assert_eq!(
        (report.blobs, report.layers, report.unchecked_layers),
        (3, 2, 0)
    );
    assert!(report.files >= 4 && report.bytes > 4000);
    assert_eq!(store.mend(&[]).unwrap(), []);
}

#[test]
fn a_built_layer_is_made_again_from_its_blob_and_its_blob_from_it() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = commit(&store, "right", Some(Compression::GZIP));
    let blob = store.layer(&layer).unwrap().unwrap().blobs[0].digest;
    let image = put_image(&store, "image", &[layer]);
    spoil(&store.layer_path(&layer).join("fs/etc/file"));
    let damage = verify(&store).damage;
    assert_eq!(found(&damage), "`etc/file` differ");
    assert_eq!(
        store.mend(&damage).unwrap(),
        [Remedy::Done("unpacked again from its compressed form")]
    );
    assert_eq!(verify(&store).damage, []);

    let directory = scratch();
    let store = open(directory.path());
    let again = commit(&store, "right", Some(Compression::GZIP));
    assert_eq!(again, layer);
    spoil(&store.blob_path(&blob));
    let damage = verify(&store).damage;
    assert!(found(&damage).starts_with("it hashes to sha256:"));
    assert_eq!(
        store.mend(&damage).unwrap(),
        [Remedy::Done("compressed again from its layer")]
    );
    assert_eq!(verify(&store).damage, []);
    drop(image);
}

#[test]
fn a_received_layer_is_compared_with_its_blob() {
    let directory = scratch();
    let store = open(directory.path());
    let (layer, blob) = receive(&store, "received");
    let files = store.layer_files(&layer);
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 4] = [
        (|files| spoil(&files.join("etc/file")), "`etc/file` differ"),
        (
            |files| fs::remove_file(files.join("etc/other")).unwrap(),
            "`etc/other` differ",
        ),
        (
            |files| fs::write(files.join("more"), "").unwrap(),
            "`more` differ",
        ),
        (
            |files| {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4711);
                fs::set_permissions(files.join("etc/file"), mode).unwrap();
            },
            "`etc/file` differ",
        ),
    ];
    for (harm, expected) in harms {
        harm(&files);
        let damage = verify(&store).damage;
        assert_eq!(found(&damage), expected);
        assert_eq!(
            store.mend(&damage).unwrap(),
            [Remedy::Done("unpacked again from its compressed form")]
        );
        assert_eq!(verify(&store).damage, []);
    }
    fs::remove_file(store.blob_path(&blob)).unwrap();
    assert_eq!(verify(&store).unchecked_layers, 1);
}

#[test]
fn what_was_seen_in_a_registry_is_fetched_from_there() {
    let directory = scratch();
    let store = open(directory.path());
    let (layer, blob) = receive(&store, "received");
    let record = store.layer(&layer).unwrap().unwrap();
    let mut config = ImageConfig::default();
    config.rootfs.diff_ids = vec![layer];
    let image = store
        .put_image(&config, &record.blobs, ManifestKind::Oci)
        .unwrap();
    let (layers, whole) = (reference("one.example/base"), reference("two.example/app"));
    store.note_origin([blob], &layers).unwrap();
    store.note_origin([image.manifest_digest], &whole).unwrap();
    for digest in [blob, image.id.0, image.manifest_digest] {
        spoil(&store.blob_path(&digest));
    }
    spoil(&store.layer_path(&layer).join("fs/etc/file"));
    // Manifest and configuration first: what they say of the rest is lost with them.
    let damage = verify(&store).damage;
    let digest_of = |damage: &Damage| match damage {
        Damage::Content { digest, .. } => *digest,
        other => panic!("{other:?}"),
    };
    assert_eq!(damage.len(), 3, "{damage:?}");
    let remedies = store.mend(&damage).unwrap();
    for (damage, remedy) in damage.iter().zip(remedies) {
        let digest = digest_of(damage);
        if digest == image.manifest_digest {
            let Remedy::Fetch(wanted) = remedy else {
                panic!("{remedy:?}")
            };
            assert!(wanted.is_document && wanted.repositories == std::slice::from_ref(&whole));
        }
        assert!(store.blob_size(&digest).unwrap().is_none());
    }
    // The manifest and the configuration are here again: now the layer is known to be missing its blob.
    store.put_blob(&image.manifest_bytes).unwrap();
    let damage = verify(&store).damage;
    assert_eq!(
        damage,
        [Damage::MissingContent {
            image: image.manifest_digest,
            digest: image.id.0
        }]
    );
    let remedies = store.mend(&damage).unwrap();
    let [Remedy::Fetch(wanted)] = remedies.as_slice() else {
        panic!("{remedies:?}")
    };
    assert_eq!(
        (wanted.content.digest, wanted.is_document),
        (image.id.0, false)
    );
    assert_eq!(wanted.repositories, std::slice::from_ref(&whole));
    store.put_blob(&image.config_bytes).unwrap();
    store.discard(&Held::Layer(layer)).unwrap();
    let damage = verify(&store).damage;
    let remedies = store.mend(&damage).unwrap();
    let [Remedy::Fetch(wanted)] = remedies.as_slice() else {
        panic!("{damage:?} {remedies:?}")
    };
    assert_eq!((wanted.content.digest, wanted.layer), (blob, Some(layer)));
    assert_eq!(wanted.repositories, [layers, whole]);
}

#[test]
fn what_nobody_has_is_named_with_its_image() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = commit(&store, "built", None);
    let image = put_image(&store, "image", &[layer]);
    store
        .tag(&reference("app:1"), &image.manifest_digest)
        .unwrap();
    spoil(&store.layer_path(&layer).join("fs/etc/file"));
    let damage = verify(&store).damage;
    assert!(found(&damage).starts_with("its archive hashes to sha256:"));
    let remedies = store.mend(&damage).unwrap();
    let [Remedy::Lost(reason)] = remedies.as_slice() else {
        panic!("{remedies:?}")
    };
    assert_eq!(
        reason,
        "no registry is known to have it: build or pull app:1 again"
    );
    assert_eq!(
        verify(&store).damage,
        [Damage::MissingLayer {
            image: image.manifest_digest,
            diff_id: layer
        }]
    );
    assert_eq!(commit(&store, "built", None), layer);
    assert_eq!(verify(&store).damage, []);
}

#[test]
fn damaged_small_files_are_named_and_go() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = commit(&store, "text", None);
    let other = commit(&store, "other", None);
    let chain = crate::ChainId::of(&[layer, other]).unwrap();
    store.stack(&[layer, other]).unwrap();
    store.keep_chain(&[layer, other]).unwrap();
    let image = put_image(&store, "image", &[layer]);
    store
        .tag(&reference("app:1"), &image.manifest_digest)
        .unwrap();
    let key = CacheKey::of(b"key");
    store.put_record("run", &key, &[layer], &()).unwrap();
    let files = [
        store.chain_path(&chain).join("entry.json"),
        store.root().join("records/run").join(key.to_string()),
        store.tag_path(&reference("app:1")),
    ];
    for path in &files {
        fs::write(path, "{").unwrap();
    }
    // Other looks at the store change nothing either.
    store.disk_usage().unwrap();
    assert_eq!(store.resolve(&reference("app:1")).unwrap(), None);
    let damage = verify(&store).damage;
    assert_eq!(verify(&store).damage, damage);
    let paths: Vec<_> = damage
        .iter()
        .map(|damage| match damage {
            Damage::File { path, .. } => store.root().join(path),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut expected = files.to_vec();
    expected.sort();
    assert_eq!(paths, expected);
    let remedies = store.mend(&damage).unwrap();
    assert!(matches!(
        remedies.as_slice(),
        [Remedy::Done(_), Remedy::Done(_), Remedy::Lost(_)]
    ));
    assert_eq!(verify(&store).damage, []);
    assert!(store.stack(&[layer, other]).is_ok());
}

#[test]
fn a_damaged_entry_is_damage_and_looking_does_not_remove_it() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = commit(&store, "text", None);
    fs::write(store.layer_path(&layer).join("entry.json"), "{").unwrap();
    for _ in 0..2 {
        let damage = verify(&store).damage;
        assert!(found(&damage).contains("entry.json cannot be read"));
    }
    let damage = verify(&store).damage;
    assert!(matches!(
        store.mend(&damage).unwrap().as_slice(),
        [Remedy::Done(_)]
    ));
    assert!(store.layer(&layer).unwrap().is_none());
    assert_eq!(commit(&store, "text", None), layer);
    assert_eq!(verify(&store).damage, []);
}

#[test]
fn a_prune_removes_damaged_small_files() {
    let directory = scratch();
    let store = open(directory.path());
    let image = put_image(&store, "image", &[]);
    store
        .tag(&reference("app:1"), &image.manifest_digest)
        .unwrap();
    fs::write(store.tag_path(&reference("app:1")), "").unwrap();
    assert_eq!(verify(&store).damage.len(), 1);
    store.collect().unwrap();
    assert_eq!(verify(&store).damage, []);
}

/// Directories of fix-ups hold other names of a layer's files: they must not outlive its damage.
#[test]
fn the_chains_of_a_damaged_layer_are_made_again() {
    let directory = scratch();
    let store = open(directory.path());
    let (base, _) = receive(&store, "received");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Link);
    header.set_uid(rustix::process::getuid().as_raw().into());
    header.set_gid(rustix::process::getgid().as_raw().into());
    header.set_size(0);
    tar.append_link(&mut header, "link", "etc/file").unwrap();
    let bytes = tar.into_inner().unwrap();
    let link = DiffId(Digest::sha256(&bytes));
    let blob = Descriptor::new(media_type::OCI_LAYER, link.0, bytes.len() as u64);
    store
        .ingest_layer(&mut &bytes[..], &blob, &link, &Limits::default())
        .unwrap();
    let read = || {
        let view = store.stack(&[base, link]).unwrap().view();
        let entry = view.lookup(b"link", crate::Follow::All).unwrap().unwrap();
        view.read_file(&entry, 100).unwrap()
    };
    assert_eq!(read(), b"received");
    spoil(&store.layer_path(&base).join("fs/etc/file"));
    assert_ne!(read(), b"received");
    let damage = verify(&store).damage;
    assert_eq!(found(&damage), "`etc/file` differ");
    store.mend(&damage).unwrap();
    assert_eq!(read(), b"received");
}
