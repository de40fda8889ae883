//! The client against servers that misbehave as real ones do.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod fuzz;
mod pushes;
mod reads;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod ways;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kiln_registry::{
    AuthFile, Client, ClientOptions, Credentials, Error, Event, PullOptions, PushOptions, Timeouts,
    pull, push,
};
use kiln_store::{Digest, Platform};
use support::image::TestImage;
use support::scripted::{Received, Reply, Scripted};
use support::{client, client_as, ignore, quick_options, reference, scratch, store};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

fn manifest_reply(image: &TestImage) -> Reply {
    Reply::new(200)
        .header("Content-Type", MANIFEST_TYPE)
        .header("Docker-Content-Digest", image.digest().to_string())
        .body(image.manifest.clone())
}

/// What a well-behaved registry answers to reads of one image in the repository `r`.
fn read_reply(image: &TestImage, request: &Received) -> Reply {
    if request.path().starts_with("/v2/r/manifests/") {
        return manifest_reply(image);
    }
    for (digest, bytes) in image.blobs() {
        if request.path() == format!("/v2/r/blobs/{digest}") {
            return Reply::new(200).body(bytes);
        }
    }
    Reply::new(404)
}

/// Takes `range` into account.
fn ranged(request: &Received, bytes: &[u8]) -> Reply {
    match request
        .header("range")
        .strip_prefix("bytes=")
        .and_then(|text| text.strip_suffix('-'))
        .map(|text| text.parse::<usize>().unwrap())
    {
        Some(start) => Reply::new(206)
            .header(
                "Content-Range",
                format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()),
            )
            .body(&bytes[start..]),
        None => Reply::new(200).body(bytes),
    }
}

async fn pull_r(client: &Client, address: &str) -> kiln_registry::Result<kiln_registry::Pulled> {
    let root = scratch();
    let store = store(root.path());
    let name = reference(&format!("{address}/r:1"));
    let pulled = pull(
        client,
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await;
    assert_eq!(
        pulled.is_ok(),
        store.resolve(&name).unwrap().is_some(),
        "a name appears only with a whole image"
    );
    pulled
}
