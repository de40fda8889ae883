//! Images that no honest tool makes: a layer of any bytes, put into a registry by another tool.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use xtask::process;

use super::TestEnv;

const LIMIT: Duration = Duration::from_secs(60);

/// Pushes an image whose one layer is the tar `layer` to the environment's registry, with skopeo.
pub fn push(env: &TestEnv, name: &str, layer: &Path) -> String {
    let layout = env.scratch().directory(&format!("layout-{name}")).unwrap();
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let layer = add(&layout, &std::fs::read(layer).unwrap(), "layer.v1.tar");
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = add(&layout, config.to_string().as_bytes(), "config.v1+json");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    });
    let mut manifest = add(&layout, manifest.to_string().as_bytes(), "manifest.v1+json");
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "forged" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let image = env.remote(&format!("{name}:1"));
    let mut skopeo = Command::new("skopeo");
    skopeo.args([
        "--insecure-policy",
        "copy",
        "--dest-tls-verify=false",
        "--dest-compress=false",
    ]);
    skopeo
        .arg(format!("oci:{}:forged", layout.display()))
        .arg(format!("docker://{image}"));
    process::run(&mut skopeo, LIMIT).unwrap();
    image
}

/// Adds a blob to a layout; returns its descriptor.
fn add(layout: &Path, bytes: &[u8], kind: &str) -> serde_json::Value {
    let sum = process::capture_with_input(&mut Command::new("sha256sum"), bytes, LIMIT)
        .unwrap()
        .stdout;
    let hex = sum.split(' ').next().unwrap();
    std::fs::write(layout.join("blobs/sha256").join(hex), bytes).unwrap();
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": format!("sha256:{hex}"),
        "size": bytes.len(),
    })
}
