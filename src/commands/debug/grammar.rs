//! What the grammar makes of a Dockerfile, a word, an ignore file.

use std::path::Path;

use anyhow::Context;
use kiln_grammar::ignore::Patterns;
use kiln_grammar::mount::clean_path;
use kiln_grammar::scope::Environment;
use kiln_grammar::{dump, expand, parse};

use super::super::build::Source;
use crate::cli::ExpandArgs;
use crate::error::CommandError;
use crate::output;

/// Prints the tree of a file as JSON; what is wrong with it goes to standard error.
pub fn ast(file: &Path) -> Result<u8, CommandError> {
    let (source, _) = Source::read(Some(file), Path::new("."))?;
    let parsed = parse(&source.text);
    let tree = serde_json::to_value(dump::file(&parsed.file))?;
    output::data(&format!("{tree:#}\n"))?;
    output::diagnostics(&source.name, &source.text, &parsed.diagnostics);
    Ok(u8::from(parsed.has_errors()))
}

/// Prints what a word expands to.
pub fn expand(args: &ExpandArgs) -> Result<u8, CommandError> {
    let value = expand::expand(&args.word, escape(args)?, &environment(args))?;
    output::data(&format!("{value}\n"))?;
    Ok(0)
}

/// Prints the words that a word expands to, as a JSON array.
pub fn words(args: &ExpandArgs) -> Result<u8, CommandError> {
    let words = expand::expand_words(&args.word, escape(args)?, &environment(args))?;
    output::data(&format!("{}\n", serde_json::to_string(&words)?))?;
    Ok(0)
}

fn environment(args: &ExpandArgs) -> Environment {
    Environment::from_strings(args.env.iter().map(String::as_str))
}

fn escape(args: &ExpandArgs) -> Result<char, CommandError> {
    match args.escape {
        escape @ ('\\' | '`') => Ok(escape),
        other => Err(CommandError::usage(format!(
            "invalid escape token '{other}' does not match ` or \\"
        ))),
    }
}

/// Says of each path whether the patterns of a file ignore it.
pub fn ignore(file: &Path, paths: &[String]) -> Result<u8, CommandError> {
    let bytes = std::fs::read(file).with_context(|| format!("reading `{}`", file.display()))?;
    let patterns = Patterns::parse(&String::from_utf8_lossy(&bytes))?;
    let mut text = String::new();
    for path in paths {
        let cleaned = clean_path(path);
        let is_ignored = patterns.is_ignored(cleaned.trim_start_matches('/'));
        let verdict = if is_ignored { "ignored" } else { "kept" };
        text.push_str(&format!("{verdict} {path}\n"));
    }
    output::data(&text)?;
    Ok(0)
}
