//! The same image pushed and pulled by kiln's transport and by `oci-client`, side by side: time, requests, peak memory.
//!
//! `cargo run --release -p kiln-registry --example beside_oci_client [LAYERS [MEBIBYTES]]`; needs Debian's `docker-registry`. Each transfer runs in a
//! process of its own, so that its memory is its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a measurement ends at the first surprise and prints what it found"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use kiln_registry::{Access, Client, CopyOptions, Layout, ManifestName, Repository, copy};
use kiln_store::Manifest;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use support::docker_registry::DockerRegistry;
use support::image::TestImage;

/// The image of the table in ARCHITECTURE.md.
const LAYERS: usize = 8;
const MEBIBYTES: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [client, direction, layout, name] = words.as_slice() {
        return transfer(client, direction, Path::new(layout), name);
    }
    let number = |position: usize, usual: usize| {
        words
            .get(position)
            .map_or(usual, |text| text.parse().unwrap())
    };
    compare(number(0, LAYERS), number(1, MEBIBYTES));
}

/// Runs every transfer in a process of its own, against one registry.
fn compare(layers: usize, mebibytes: usize) {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = support::scratch();
    let layout = root.path().join("layout");
    TestImage::new(1, &vec![mebibytes << 20; layers]).write_layout(&layout, "x");
    println!("{layers} layers of {mebibytes} MiB, a registry on loopback\n");
    println!("| work | client | seconds | requests | peak memory |\n|---|---|---:|---:|---:|");
    for (direction, shown) in [("push", "push"), ("push", "push again"), ("pull", "pull")] {
        for client in ["kiln", "oci-client"] {
            let before = registry.protocols().len();
            let name = registry.name(&format!("{client}/app:1"));
            let output = Command::new(std::env::current_exe().unwrap())
                .args([client, direction, layout.to_str().unwrap(), &name])
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let requests = registry.protocols().len() - before;
            let (seconds, peak) = text.trim().split_once(' ').unwrap();
            println!("| {shown} | {client} | {seconds} | {requests} | {peak} MiB |");
        }
    }
}

/// One transfer: its seconds and the peak memory of this process, in MiB.
fn transfer(client: &str, direction: &str, layout: &Path, name: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let started = Instant::now();
    runtime.block_on(async {
        match (client, direction) {
            ("kiln", "push") => kiln_push(layout, name).await,
            ("kiln", _) => kiln_pull(layout, name).await,
            (_, "push") => their_push(layout, name).await,
            _ => their_pull(layout, name).await,
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{seconds:.2} {:.0}", kib / 1024.0);
}

fn tag(name: &str) -> ManifestName {
    ManifestName::Tag(name.to_owned())
}

async fn kiln_push(layout: &Path, name: &str) {
    let from: Arc<dyn Repository> = Arc::new(Layout::open(layout).unwrap());
    let client = Client::new(kiln_registry::ClientOptions::default()).unwrap();
    let to = client.repository(&support::reference(name), Access::Push);
    let options = CopyOptions::default();
    copy(
        &from,
        &tag("x"),
        &to,
        &[tag("1")],
        &options,
        &support::ignore,
    )
    .await
    .unwrap();
}

async fn kiln_pull(layout: &Path, name: &str) {
    let to = Layout::create(&beside(layout, "kiln")).unwrap();
    let client = Client::new(kiln_registry::ClientOptions::default()).unwrap();
    let repository = client.repository(&support::reference(name), Access::Pull);
    let from: Arc<dyn Repository> = Arc::new(repository);
    let options = CopyOptions::default();
    copy(
        &from,
        &tag("1"),
        &to,
        &[tag("x")],
        &options,
        &support::ignore,
    )
    .await
    .unwrap();
}

fn beside(layout: &Path, name: &str) -> PathBuf {
    layout.with_file_name(format!("pulled-by-{name}"))
}

fn theirs() -> oci_client::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    oci_client::Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    })
}

/// As its own `push` does it: layers in memory, no question whether they are there.
async fn their_push(layout: &Path, name: &str) {
    let read = |digest: &kiln_store::Digest| {
        std::fs::read(layout.join("blobs/sha256").join(digest.hex())).unwrap()
    };
    let from = Layout::open(layout).unwrap();
    let resolved = from.manifest(&tag("x")).await.unwrap();
    let manifest: Manifest = serde_json::from_slice(&resolved.bytes).unwrap();
    let layers = manifest
        .layers
        .iter()
        .map(|layer| {
            oci_client::client::ImageLayer::new(read(&layer.digest), layer.media_type.clone(), None)
        })
        .collect::<Vec<_>>();
    let config = oci_client::client::Config::new(
        read(&manifest.config.digest),
        manifest.config.media_type.clone(),
        None,
    );
    let reference: oci_client::Reference = name.parse().unwrap();
    let auth = RegistryAuth::Anonymous;
    theirs()
        .push(&reference, &layers, config, &auth, None)
        .await
        .unwrap();
}

async fn their_pull(layout: &Path, name: &str) {
    let reference: oci_client::Reference = name.parse().unwrap();
    let kinds = vec![kiln_store::media_type::OCI_LAYER_GZIP];
    let image = theirs()
        .pull(&reference, &RegistryAuth::Anonymous, kinds)
        .await
        .unwrap();
    let to = beside(layout, "oci-client");
    std::fs::create_dir_all(&to).unwrap();
    for (number, layer) in image.layers.iter().enumerate() {
        std::fs::write(to.join(number.to_string()), &layer.data).unwrap();
    }
}
