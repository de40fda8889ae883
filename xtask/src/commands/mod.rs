//! One file for each task.

pub mod demo;
pub mod dist;
pub mod test;

use clap::Subcommand;

/// The tasks.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Take a real workload all the way: build, push, pull, run
    Demo(demo::Options),
    /// Make the release: one static file, target/dist/kiln
    Dist,
    /// Run every check: format, lints, unit tests, end-to-end tests
    Test(test::Options),
}
