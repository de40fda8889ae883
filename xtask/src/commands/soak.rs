//! `cargo xtask soak`: the tests of killed builds, with many more moments.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use xtask::process;
use xtask::random::{MOMENTS_VARIABLE, SEED_VARIABLE};

use crate::needs::{self, For};
use crate::workspace;

/// A whole night.
const LIMIT: Duration = Duration::from_secs(12 * 3600);

/// Options of the soak.
#[derive(Debug, Args)]
pub struct Options {
    /// How often a build is killed, for each identity
    #[arg(long, default_value_t = 300)]
    moments: u32,
    /// Repeat the run with this seed
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the soak.
pub fn run(options: &Options) -> Result<()> {
    needs::see_to(For::Test, None, false)?;
    let mut command = workspace::cargo();
    command.args([
        "test",
        "--package",
        "kiln",
        "--test",
        "end_to_end",
        "--",
        "--nocapture",
        "interrupted",
    ]);
    command.env(MOMENTS_VARIABLE, options.moments.to_string());
    if let Some(seed) = options.seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    process::stream(&mut command, LIMIT)
}
