//! What the tests of this crate share: registries, images, a store.

#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod docker_registry;
pub mod image;
pub mod scripted;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kiln_registry::{
    Client, ClientOptions, Credential, Credentials, Event, Layout, ManifestName, PullOptions,
    Pulled, PushOptions, Pushed, Result, Secret, pull, pull_from, push,
};
use kiln_store::{OverlayXattrs, Platform, Reference, Store, StoreOptions};

use image::TestImage;

/// A directory on a tmpfs where there is one: the tests write many small files.
pub fn scratch() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("kiln-registry-")
        .tempdir_in(parent)
        .unwrap()
}

pub fn store(root: &Path) -> Store {
    let overlay_xattrs = OverlayXattrs::User;
    Store::open(
        root,
        StoreOptions {
            overlay_xattrs,
            durable: false,
        },
    )
    .unwrap()
}

/// A client that does not wait long.
pub fn quick_options() -> ClientOptions {
    ClientOptions {
        first_backoff: Duration::from_millis(5),
        ..ClientOptions::default()
    }
}

pub fn client() -> Client {
    Client::new(quick_options()).unwrap()
}

/// The settings of a client that is this user of one registry.
pub fn options_as(registry: &str, username: &str, password: &str) -> ClientOptions {
    let credential = Credential::Basic {
        username: username.to_owned(),
        password: Secret::new(password),
    };
    ClientOptions {
        credentials: Credentials::anonymous().with_given(registry, credential),
        ..quick_options()
    }
}

pub fn client_as(registry: &str, username: &str, password: &str) -> Client {
    Client::new(options_as(registry, username, password)).unwrap()
}

pub fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

pub fn ignore(_: Event) {}

/// Whether a program is there; says so when it is not.
pub fn has(program: &str) -> bool {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).exists())
    });
    if !there {
        eprintln!("skipped: needs {program}");
    }
    there
}

/// Runs a program that must succeed; gives its output.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed: {stderr}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A store with an image in it, which no registry has seen.
pub async fn stored(root: &Path, image: &TestImage) -> Store {
    image.write_layout(&root.join("layout"), "x");
    let layout = Layout::open(&root.join("layout")).unwrap();
    let store = store(&root.join("store"));
    let name = ManifestName::Tag("x".to_owned());
    pull_from(&layout, &name, &store, &Platform::host(), &[], &ignore)
        .await
        .unwrap();
    store
}

/// Pulls for this machine.
pub async fn pull_into(client: &Client, store: &Store, name: &Reference) -> Result<Pulled> {
    let options = PullOptions::default();
    pull(client, store, name, &Platform::host(), &options, &ignore).await
}

/// Pushes without further wishes.
pub async fn push_from(
    client: &Client,
    store: &Store,
    image: &TestImage,
    name: &Reference,
) -> Result<Pushed> {
    let options = PushOptions::default();
    push(client, store, &image.digest(), name, &options, &ignore).await
}
