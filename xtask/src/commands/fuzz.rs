//! `cargo xtask fuzz`: random changes of the corpora under fixtures/, parsed, expanded and matched, on the stable toolchain.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use xtask::process;
use xtask::random::{SECONDS_VARIABLE, SEED_VARIABLE};

use crate::workspace;

/// What compiling the test may take besides.
const COMPILING: Duration = Duration::from_secs(900);

/// Options of the fuzzing.
#[derive(Debug, Args)]
pub struct Options {
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Repeat the run with this seed
    #[arg(long)]
    seed: Option<u64>,
}

/// Fuzzes until the time is over or something is found.
pub fn run(options: &Options) -> Result<()> {
    let mut command = workspace::cargo();
    command.args([
        "test",
        "--release",
        "--package",
        "kiln-grammar",
        "--test",
        "fuzz",
        "--",
        "--ignored",
        "--nocapture",
    ]);
    command.env(SECONDS_VARIABLE, options.seconds.to_string());
    if let Some(seed) = options.seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    process::stream(
        &mut command,
        COMPILING + Duration::from_secs(options.seconds),
    )
}
