//! `cargo xtask test`.
use anyhow::Result;
use clap::Args;
/// Options of the tests.
#[derive(Debug, Args)]
pub struct Options {
    /// Install what the machine lacks first
    #[arg(long)]
    pub setup: bool,
}
/// Runs the tests.
pub fn run(options: &Options) -> Result<()> {
    crate::needs::see_to(crate::needs::For::Test, None, options.setup)
}
