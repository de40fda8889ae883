//! What umoci, which shares nothing with kiln, unpacks from the same layers.

use std::fs;
use std::path::Path;
use std::process::Command;

use kiln_store::{Digest, media_type};

use super::{Snapshot, has, is_root, run, snapshot_directory, without};

/// The tree that umoci makes of an image with these archives as layers; `None` where it cannot be asked, which is shown.
pub fn unpacked(scratch: &Path, tars: &[Vec<u8>]) -> Option<Snapshot> {
    if !is_root() {
        eprintln!("skipped: needs root to compare with umoci");
        return None;
    }
    if !has("umoci") {
        return None;
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
    Some(snapshot_directory(&bundle.join("rootfs")))
}

/// umoci lets the times of directories change in which it makes something later.
pub fn plain(snapshot: Snapshot) -> Snapshot {
    without(snapshot, |_, node| {
        if node.kind == "directory" {
            node.mtime = (0, 0);
        }
    })
}
