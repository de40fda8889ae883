//! A pull that is killed goes on where it was.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kiln_store::Digest;
use serde_json::json;
use xtask::background::Background;

use crate::fault_registry::{Fault, FaultRegistry, On, What, profile};
use crate::support::{TestEnv, scenarios};

scenarios!(a_killed_pull_fetches_only_what_is_missing);

/// A wait that ends by what happens; only a pull that hangs meets this.
const LIMIT: Duration = Duration::from_secs(60);

/// The content of the one file of the image.
const SIZE: usize = 8 << 20;

/// An archive with one file (POSIX ustar).
fn archive(content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    header[..4].copy_from_slice(b"file");
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(content);
    // The content is a multiple of a block; two empty blocks end it.
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

/// A registry with a single-layer image as `r:1`; gives the layer's digest and size.
fn registry() -> (FaultRegistry, Digest, usize) {
    let content: Vec<u8> = (0..SIZE).map(|at| (at * 31 + at / 251) as u8).collect();
    let layer = archive(&content);
    let digest = Digest::sha256(&layer);
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest.to_string()]},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256(&config).to_string(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest.to_string(),
            "size": layer.len(),
        }],
    });
    let registry = FaultRegistry::start(&profile::DISTRIBUTION_3);
    let size = layer.len();
    registry.seed(
        "r",
        &[(Digest::sha256(&config), config), (digest, layer)],
        &[(
            "1",
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string().as_bytes(),
        )],
    );
    (registry, digest, size)
}

/// The size of the only download that the store has begun.
fn download(partial: &Path) -> u64 {
    let entries = std::fs::read_dir(partial).into_iter().flatten();
    let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    sizes.max().unwrap_or(0)
}

fn a_killed_pull_fetches_only_what_is_missing(env: &TestEnv) {
    let (registry, digest, size) = registry();
    let stop = size * 9 / 10;
    let on = On::BlobRead { above: 1 << 20 };
    registry.fail(Fault::new(on, What::Stall(stop)).always());
    let image = registry.name("r:1");
    let mut command = env.kiln().command(&["pull", &image]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut pull = Background::start(&mut command).unwrap();
    let partial: PathBuf = env.kiln().root().join("partial");
    let deadline = Instant::now() + LIMIT;
    while download(&partial) < stop as u64 {
        assert!(
            Instant::now() < deadline,
            "{} of {stop} bytes",
            download(&partial)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    pull.kill().unwrap();
    assert_eq!(
        env.ok(&["images", "--quiet"]).lines().count(),
        1,
        "the base alone"
    );
    registry.heal();
    env.ok(&["pull", &image]);
    let sent = registry.blob_bytes_sent();
    // The configuration is asked for twice.
    assert!(sent < size as u64 * 101 / 100, "{sent} bytes for {size}");
    assert_eq!(registry.count("GET", &digest.to_string()), 2);
    env.assert_quiet();
}
