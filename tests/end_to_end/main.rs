//! End-to-end tests: the built binary, driven as a user drives it, as root and as an ordinary user.
//!
//! Every scenario gets an environment of its own ([`support::TestEnv`]): a store and a context on a
//! tmpfs, a small base image, registries on loopback when it asks for them. It ends with the test.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise and says what it skips"
)]

#[path = "../fault_registry/mod.rs"]
mod fault_registry;
mod support;

mod archives;
mod attached;
mod build;
mod buildx;
mod cache;
mod committed;
mod containers;
mod contexts;
mod copy;
mod deep;
mod docker_load;
mod errors;
mod exchange;
mod failures;
mod faults;
mod files;
mod fresh;
mod hints;
mod hostile;
mod hostile_contexts;
mod images;
mod interrupted;
mod isolation;
mod keeping;
mod known_holes;
mod ladder;
mod listing;
mod many;
mod mounted;
mod nested;
mod networks;
mod output_images;
mod outputs;
mod pasta;
mod progress;
mod prune;
mod races;
mod registry;
mod reproducible;
mod resumed;
mod sharing;
mod sources;
mod step_networks;
mod step_path;
mod terminal;
mod transfers;
mod verify;
mod volumes;
mod watched;
