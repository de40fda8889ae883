//! The store as a whole: what is collected and what stays, sizes, faults, many processes, and death at any moment.

mod cap;
mod collect;
mod content;
mod crash;
mod faults;
mod sources;
mod usage;
mod verify;

use std::fs;
use std::path::Path;

use crate::store::lease::Held;
use crate::{
    Descriptor, DiffId, Digest, Image, ImageConfig, ManifestKind, Reference, Store, StoreOptions,
    media_type,
};

fn open(root: &Path) -> Store {
    Store::open(root, StoreOptions::default()).unwrap()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A layer directory with one file of this text.
fn put_layer(store: &Store, text: &str) -> DiffId {
    let layer = DiffId(Digest::sha256(text.as_bytes()));
    let temporary = store.temporary_directory("tree").unwrap();
    let making = temporary.path().join("layer");
    fs::create_dir_all(making.join("fs")).unwrap();
    fs::write(making.join("fs/file"), text.repeat(10_000)).unwrap();
    store
        .put_directory(Held::Layer(layer), &making, &[], &text)
        .unwrap();
    layer
}

/// An image of these layers; what makes it different from others is its author.
fn put_image(store: &Store, author: &str, layers: &[DiffId]) -> Image {
    let mut config = ImageConfig {
        author: Some(author.to_owned()),
        ..ImageConfig::default()
    };
    config.rootfs.diff_ids = layers.to_vec();
    config
        .config
        .labels
        .insert("author".to_owned(), author.to_owned());
    let descriptors: Vec<Descriptor> = layers
        .iter()
        .map(|layer| Descriptor::new(media_type::OCI_LAYER, layer.0, 10))
        .collect();
    store
        .put_image(&config, &descriptors, ManifestKind::Oci)
        .unwrap()
}

/// A directory where syncing costs nothing, when the machine has one.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}
