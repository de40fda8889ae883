//! `kiln debug probe`: what a process can see and do where it runs.

use anyhow::Context;
use kiln_runtime::inside::Inside;

use crate::error::CommandError;
use crate::output;

/// Prints it as JSON.
pub fn run() -> Result<u8, CommandError> {
    let text = serde_json::to_string_pretty(&Inside::look()).context("writing JSON")?;
    output::data(&format!("{text}\n"))?;
    Ok(0)
}
