//! `kiln debug probe`: what a process can see and do where it runs.

use anyhow::Context;
use kiln_runtime::inside::Inside;

use crate::error::CommandError;
use crate::output;

/// Prints it as JSON, with what the abstract socket `connect` answers.
pub fn run(connect: Option<&str>) -> Result<u8, CommandError> {
    let text = serde_json::to_string_pretty(&Inside::look(connect)).context("writing JSON")?;
    output::data(&format!("{text}\n"))?;
    Ok(0)
}
