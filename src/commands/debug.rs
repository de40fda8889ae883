//! `kiln debug`: the stages in between, for tests and tools.

use kiln_store::Reference;
use serde_json::json;

use crate::cli::{DebugArgs, DebugCommand};
use crate::error::CommandError;
use crate::output;
use crate::settings::Settings;

/// Runs a debug command.
pub fn run(args: &DebugArgs, _settings: &Settings) -> Result<u8, CommandError> {
    match &args.command {
        DebugCommand::Reference { name } => reference(name),
    }
}

fn reference(name: &str) -> Result<u8, CommandError> {
    let reference: Reference = name.parse()?;
    let value = json!({
        "domain": reference.domain(),
        "path": reference.path(),
        "tag": reference.tag(),
        "digest": reference.digest().map(ToString::to_string),
        "familiar": reference.familiar(),
    });
    output::data(&format!("{value}\n"))?;
    Ok(0)
}
