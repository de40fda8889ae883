//! `--call outline` and `--call targets`: what a Dockerfile offers to those who build it.

use std::collections::BTreeMap;

use kiln_grammar::outline::{self, Outline, Target};
use kiln_grammar::parse;

use super::build::Source;
use crate::error::CommandError;
use crate::format;
use crate::output;

/// Whether `call` is one of the methods of this file; `build` and `check` are others.
pub fn answers(call: &str) -> Result<bool, CommandError> {
    match call.split(',').next().unwrap_or_default() {
        "outline" | "targets" => Ok(true),
        "build" | "check" | "lint" => Ok(false),
        other => Err(
            CommandError::usage(format!("unknown method `{other}` in --call"))
                .hint("`build`, `check`, `outline` and `targets` exist"),
        ),
    }
}

/// Prints the outline of a target, or all targets. `call` is the method with its options, as in `outline,format=json`.
pub fn run(
    source: &Source,
    call: &str,
    target: Option<&str>,
    build_args: &BTreeMap<String, String>,
) -> Result<u8, CommandError> {
    let (method, options) = call.split_once(',').unwrap_or((call, ""));
    let json = match options {
        "" | "format=text" => false,
        "format=json" => true,
        other => {
            return Err(
                CommandError::usage(format!("unknown option `{other}` in --call"))
                    .hint("`format=json` exists"),
            );
        }
    };
    let parsed = parse(&source.text);
    if parsed.has_errors() {
        output::diagnostics(&source.name, &source.text, &parsed.diagnostics);
        return Err(CommandError::silent(1));
    }
    let text = if method == "targets" {
        let targets = outline::targets(&parsed.file);
        if json {
            format!("{:#}\n", serde_json::json!({ "targets": targets }))
        } else {
            targets_text(&targets)
        }
    } else {
        let found = outline::outline(&parsed.file, target, build_args).ok_or_else(|| {
            let name = target.unwrap_or_default();
            CommandError::usage(format!("target stage \"{name}\" could not be found")).code(1)
        })?;
        if json {
            format!("{:#}\n", serde_json::to_value(found)?)
        } else {
            outline_text(&found)
        }
    };
    output::data(&text)?;
    Ok(0)
}

fn targets_text(targets: &[Target]) -> String {
    let row = |target: &Target| {
        let name = match (target.name.as_str(), target.default) {
            ("", _) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        vec![name, target.description.clone().unwrap_or_default()]
    };
    // Nobody can ask for a stage that has no name.
    let named = targets
        .iter()
        .filter(|target| !target.name.is_empty() || target.default);
    format::table(
        &["TARGET", "DESCRIPTION"],
        &named.map(row).collect::<Vec<_>>(),
    )
}

fn outline_text(outline: &Outline) -> String {
    let mut text = String::new();
    let mut add = |head: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            text.push_str(&format::table(head, &rows));
            text.push('\n');
        }
    };
    let yes = |required: bool| if required { "true" } else { "" }.to_owned();
    if !outline.name.is_empty() {
        let description = outline.description.clone().unwrap_or_default();
        add(
            &["TARGET", "DESCRIPTION"],
            vec![vec![outline.name.clone(), description]],
        );
    }
    let arg = |arg: &outline::OutlineArg| {
        vec![
            arg.name.clone(),
            arg.value.clone().unwrap_or_default(),
            arg.description.clone().unwrap_or_default(),
        ]
    };
    add(
        &["BUILD ARG", "VALUE", "DESCRIPTION"],
        outline.args.iter().map(arg).collect(),
    );
    let needed = |needed: &outline::Needed| vec![needed.name.clone(), yes(needed.required)];
    add(
        &["SECRET", "REQUIRED"],
        outline.secrets.iter().map(needed).collect(),
    );
    add(
        &["SSH", "REQUIRED"],
        outline.ssh.iter().map(needed).collect(),
    );
    add(
        &["CACHE"],
        outline.cache.iter().map(|id| vec![id.clone()]).collect(),
    );
    text
}
