//! Stacks of layers that rely on each other in awkward ways: mounted, viewed and unpacked by umoci, they are the same.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod deep;
#[path = "../support/mod.rs"]
mod support;
mod ways;
mod whiteouts;

use std::fs;
use std::path::Path;
use std::process::Command;

use kiln_store::{DiffId, Digest, LayerRecord, Stack, Store, media_type};
use support::*;

/// Stacks archives and compares all ways to look at the result. `expected` names what must be there, with a start of its
/// kind and content.
fn check(
    archives: &[Tar],
    expected: &[(&str, &str, u32)],
    absent: &[&str],
) -> (tempfile::TempDir, Store, Stack) {
    let scratch = scratch();
    let store = store(&scratch.path().join("store"));
    let records: Vec<LayerRecord> = archives
        .iter()
        .map(|tar| ingest(&store, &tar.end()).unwrap())
        .collect();
    let layers: Vec<DiffId> = records.iter().map(|record| record.diff_id).collect();
    let stack = store.stack(&layers).unwrap();
    let seen = snapshot_view(&stack.view());
    for (path, kind, mode) in expected {
        let node = seen
            .get(*path)
            .unwrap_or_else(|| panic!("{path} is missing: {:?}", seen.keys()));
        assert_eq!((node.kind, node.mode), (*kind, *mode), "{path}");
    }
    for path in absent {
        assert!(!seen.contains_key(*path), "{path} is there");
    }
    let again = store.stack(&layers).unwrap();
    assert_eq!(again.lowers(), stack.lowers(), "the second time");
    assert_same(&seen, &snapshot_view(&again.view()), "the second time");
    if let Some(mounted) = Mounted::stack(stack.lowers(), None, &scratch.path().join("mnt")) {
        assert_same(
            &rootless_time(seen.clone()),
            &rootless_time(snapshot_directory(mounted.path())),
            "mounted",
        );
    }
    compare_with_umoci(scratch.path(), archives, &seen);
    (scratch, store, stack)
}

/// The root's time means nothing.
fn rootless_time(snapshot: Snapshot) -> Snapshot {
    without(snapshot, |name, node| {
        if name == "/" {
            node.mtime = (0, 0);
        }
    })
}

fn compare_with_umoci(scratch: &Path, archives: &[Tar], seen: &Snapshot) {
    if !is_root() || !has("umoci") {
        return;
    }
    let layout = scratch.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (digest, bytes.len())
    };
    let descriptor = |kind: &str, (digest, size): (Digest, usize)| {
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let tars: Vec<Vec<u8>> = archives.iter().map(Tar::end).collect();
    let layers: Vec<String> = tars
        .iter()
        .map(|tar| descriptor(media_type::OCI_LAYER, put(tar)))
        .collect();
    let diff_ids: Vec<String> = tars
        .iter()
        .map(|tar| format!("\"{}\"", Digest::sha256(tar)))
        .collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}},"history":[]}}"#,
        diff_ids.join(",")
    );
    let config = descriptor(media_type::OCI_CONFIG, put(config.as_bytes()));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        layers.join(",")
    );
    let manifest = descriptor(media_type::OCI_MANIFEST, put(manifest.as_bytes()));
    let named = manifest.replacen(
        '}',
        r#","annotations":{"org.opencontainers.image.ref.name":"latest"}}"#,
        1,
    );
    fs::write(
        layout.join("index.json"),
        format!(r#"{{"schemaVersion":2,"manifests":[{named}]}}"#),
    )
    .unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let bundle = scratch.join("bundle");
    let mut umoci = Command::new("umoci");
    umoci
        .args(["unpack", "--image"])
        .arg(format!("{}:latest", layout.display()))
        .arg(&bundle);
    run(&mut umoci);
    // umoci lets the times of directories change in which it makes something later.
    let plain = |snapshot| {
        without(snapshot, |_, node| {
            if node.kind == "directory" {
                node.mtime = (0, 0);
            }
        })
    };
    assert_same(
        &plain(seen.clone()),
        &plain(snapshot_directory(&bundle.join("rootfs"))),
        "umoci",
    );
}

fn tar(fill: impl FnOnce(&mut Tar)) -> Tar {
    let mut tar = Tar::new();
    fill(&mut tar);
    tar
}
