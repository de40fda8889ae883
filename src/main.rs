//! Builds, moves and runs container images without a daemon and without root.
fn main() {}
