//! `kiln debug`: the stages in between, for tests and tools.

mod grammar;
mod launch;
mod probe;

use kiln_store::Reference;
use serde_json::json;

use crate::cli::{DebugArgs, DebugCommand};
use crate::error::CommandError;
use crate::output;
use crate::settings::Settings;

/// Runs a debug command.
pub fn run(args: &DebugArgs, settings: &Settings) -> Result<u8, CommandError> {
    match &args.command {
        DebugCommand::Reference { name } => reference(name),
        DebugCommand::Ast { file } => grammar::ast(file),
        DebugCommand::Expand(args) => grammar::expand(args),
        DebugCommand::Words(args) => grammar::words(args),
        DebugCommand::Ignore { file, paths } => grammar::ignore(file, paths),
        DebugCommand::Graph(args) => super::build::graph(args, settings),
        DebugCommand::Probe { connect } => probe::run(connect.as_deref()),
        DebugCommand::LaunchBench(args) => launch::bench(args, settings),
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
