//! `cargo xtask soak`: what takes too long for every day. Stores and builds killed at many more moments, and a layer of more
//! than four gigabytes in little memory.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use xtask::process;
use xtask::random::{MOMENTS_VARIABLE, SEED_VARIABLE};

use crate::needs::{self, For};
use crate::workspace;

/// A whole night.
const LIMIT: Duration = Duration::from_secs(12 * 3600);

/// Tells the store's test how often to kill.
const KILLS_VARIABLE: &str = "KILN_TEST_KILLS";

/// Options of the soak.
#[derive(Debug, Args)]
pub struct Options {
    /// How often a build is killed, for each identity
    #[arg(long, default_value_t = 300)]
    moments: u32,
    /// How often a process that writes, reads and prunes a store is killed
    #[arg(long, default_value_t = 1000)]
    kills: u32,
    /// Leave out the layer of more than four gigabytes, which takes as much of the disk
    #[arg(long)]
    no_huge_layer: bool,
    /// Repeat the builds with this seed
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the soak.
pub fn run(options: &Options) -> Result<()> {
    needs::see_to(For::Test, None, false)?;
    let mut store = workspace::cargo();
    store.args(["test", "--package", "kiln-store", "--lib", "--"]);
    store.args(["--nocapture", "store::tests::crash"]);
    store.env(KILLS_VARIABLE, options.kills.to_string());
    process::stream(&mut store, LIMIT)?;
    if !options.no_huge_layer {
        let mut huge = workspace::cargo();
        huge.args(["test", "--release", "--package", "kiln-store"]);
        huge.args(["--test", "layer_rates", "--", "--ignored", "--nocapture"]);
        huge.arg("a_huge_layer_in_little_memory");
        process::stream(&mut huge, LIMIT)?;
    }
    let mut builds = workspace::cargo();
    builds.args(["test", "--package", "kiln", "--test", "end_to_end", "--"]);
    builds.args(["--nocapture", "interrupted"]);
    builds.env(MOMENTS_VARIABLE, options.moments.to_string());
    if let Some(seed) = options.seed {
        builds.env(SEED_VARIABLE, seed.to_string());
    }
    process::stream(&mut builds, LIMIT)
}
