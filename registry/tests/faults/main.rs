//! Pushes, pulls and copies at registries of every kind, with everything going wrong that can.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod breaks;
#[path = "../../../tests/fault_registry/mod.rs"]
mod fault_registry;
mod kinds;
mod mirrors;
mod parts;
mod resume;

#[path = "../support/mod.rs"]
mod support;
mod traces;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use fault_registry::profile::PROFILES;
use fault_registry::{Fault, FaultRegistry, On, Profile, What, profile};
use kiln_registry::{
    Access, Client, ClientOptions, HostOptions, ManifestName, Repository, Result, Timeouts, copy,
};
use kiln_store::Digest;
use support::image::TestImage;
use support::{client_as, pull_into, push_from, reference, scratch, store, stored};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Deadlines that a test can wait for.
const SHORT: Duration = Duration::from_millis(400);

/// The user that every kind with a login knows.
fn client(registry: &FaultRegistry) -> Client {
    client_as(&registry.address, "user", "pass")
}

/// The same, with deadlines that a test can wait for.
fn impatient(registry: &FaultRegistry) -> Client {
    let timeouts = Timeouts {
        answer: SHORT,
        finish: SHORT,
        stall: SHORT,
        ..Timeouts::default()
    };
    Client::new(ClientOptions {
        timeouts,
        ..support::options_as(&registry.address, "user", "pass")
    })
    .unwrap()
}

/// An image with a layer that is large for these tests, and small ones.
fn image() -> TestImage {
    TestImage::new(7, &[1_500_000, 300_000, 10])
}

/// A registry that has the image as `r:1`.
fn seeded(kind: &Profile, image: &TestImage) -> FaultRegistry {
    let registry = FaultRegistry::start(kind);
    registry.seed(
        "r",
        &image.blobs(),
        &[("1", MANIFEST_TYPE, &image.manifest)],
    );
    registry
}

/// Everything of the image is in the repository, byte for byte.
fn assert_there(registry: &FaultRegistry, repository: &str, image: &TestImage) {
    for (digest, bytes) in image.blobs() {
        assert_eq!(
            registry.blob(repository, &digest).as_ref(),
            Some(&bytes),
            "{digest}"
        );
    }
    assert_eq!(
        registry.manifest(repository, "1").as_ref(),
        Some(&image.manifest)
    );
    assert_eq!(registry.complaints(), Vec::<String>::new());
}

/// What a store holds of an image is whole and right; nothing at all if `whole` is false.
fn assert_sound(store: &kiln_store::Store, image: &TestImage, whole: bool) {
    for (digest, bytes) in image.blobs() {
        match store.read_blob(&digest, u64::MAX) {
            Ok(found) => assert_eq!(found, bytes, "{digest}"),
            Err(kiln_store::Error::BlobNotFound { .. }) => assert!(!whole, "{digest} is missing"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(store.image(&image.digest()).is_ok(), whole);
}

/// The whole of one registry's repository `r` into another's `copied`.
async fn copy_r(
    from: (&Client, &FaultRegistry),
    to: (&Client, &FaultRegistry),
) -> Result<kiln_registry::Copied> {
    let source = from
        .0
        .repository(&reference(&from.1.name("r:1")), Access::Pull);
    let source: Arc<dyn Repository> = Arc::new(source);
    let target =
        to.0.repository(&reference(&to.1.name("copied:1")), Access::Push);
    let name = ManifestName::Tag("1".to_owned());
    let names = std::slice::from_ref(&name);
    copy(
        &source,
        &name,
        &target,
        names,
        &kiln_registry::CopyOptions::default(),
        &support::ignore,
    )
    .await
}
