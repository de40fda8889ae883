//! Pull and push against Debian's `docker-registry`, with skopeo as the other side.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod access;
mod names;
mod pulls;
mod pushes;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use kiln_registry::{
    Access, CopyOptions, Error, Layout, ManifestName, PullOptions, PushOptions, Repository, copy,
    pull, push,
};
use kiln_store::{Digest, Index, ManifestKind, Platform};
use support::docker_registry::DockerRegistry;
use support::image::TestImage;
use support::{
    client, client_as, has, ignore, pull_into, push_from, reference, run, scratch, store,
};

/// Puts an image into a registry with skopeo.
fn skopeo_push(registry: &DockerRegistry, image: &TestImage, name: &str) {
    let layout = scratch();
    image.write_layout(layout.path(), "x");
    let source = format!("oci:{}:x", layout.path().display());
    run(
        "skopeo",
        &[
            "copy",
            "--dest-tls-verify=false",
            "--preserve-digests",
            &source,
            &format!("docker://{}", registry.name(name)),
        ],
    );
}

fn skopeo_digest(registry: &DockerRegistry, name: &str) -> Digest {
    let raw = run(
        "skopeo",
        &[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{}", registry.name(name)),
        ],
    );
    Digest::sha256(raw.as_bytes())
}
