//! What a step leaves becomes a layer, travels, and looks the same everywhere.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod changes;
mod random;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod tools;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use changes::*;
use kiln_store::{
    Attributes, CommitOptions, Compression, DiffId, NewTree, Stack, Store, TreeWriter,
};
use support::*;

const PLAIN: CommitOptions = CommitOptions {
    clamp_mtime: None,
    compression: None,
};

/// Commits what `fill` does to a tree above a stack, and gives the stack with it.
fn step(store: &Store, below: &Stack, fill: impl FnOnce(&NewTree)) -> Stack {
    let tree = store.new_tree(below).unwrap();
    fill(&tree);
    let record = store.commit_tree(tree, below, &PLAIN).unwrap();
    let layers: Vec<DiffId> = below
        .layers()
        .iter()
        .copied()
        .chain([record.diff_id])
        .collect();
    store.stack(&layers).unwrap()
}
