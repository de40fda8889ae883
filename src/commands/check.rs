//! `kiln check`: mistakes in a Dockerfile, without building it.

use serde_json::json;

use super::build::Source;
use crate::cli::CheckArgs;
use crate::error::CommandError;
use crate::output;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Text,
    Json,
}

/// Reports mistakes.
pub fn run(args: &CheckArgs) -> Result<u8, CommandError> {
    let style = match args.format.as_str() {
        "text" => Style::Text,
        "json" => Style::Json,
        other => {
            return Err(CommandError::usage(format!("unknown format `{other}`"))
                .hint("`text` and `json` exist"));
        }
    };
    let (source, _) = Source::read(args.file.as_deref(), &args.context)?;
    report(&source.name, &source.text, style)
}

/// Reports mistakes of a Dockerfile; the exit code says whether there was one.
pub fn report(name: &str, text: &str, style: Style) -> Result<u8, CommandError> {
    let diagnostics = kiln_grammar::parse(text).diagnostics;
    match style {
        Style::Json => output::data(&format!("{:#}\n", json!({ "diagnostics": diagnostics })))?,
        Style::Text if diagnostics.is_empty() => output::talk("no mistakes found"),
        Style::Text => output::diagnostics(name, text, &diagnostics),
    }
    Ok(u8::from(!diagnostics.is_empty()))
}
