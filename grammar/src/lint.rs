//! What is legal but unwise: the reference builder's 22 rules, with their names and their meaning.
//!
//! A file is read into a [`model`](self) once (stages, scopes, every word expanded), then each rule of the table [`RULES`] looks at it.
//! Rules never touch files or registries: what is known of base images and of the context comes in through [`Options`].

mod config;
mod index;
mod model;
mod reference;
mod rules;

use std::collections::BTreeMap;

pub use config::{CheckConfig, ConfigError};
pub use index::index_page;
pub use rules::{RULES, Rule};

use crate::ast::Dockerfile;
use crate::diagnostic::{Diagnostic, codes};
use crate::ignore::Patterns;
use crate::span::Span;
use model::Model;

/// Looks up a base image by the name in `FROM`.
pub type BaseLookup<'a> = dyn Fn(&str) -> Option<BaseImage> + 'a;

/// What the rules may know beyond the file.
#[derive(Default)]
pub struct Options<'a> {
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// The automatic platform arguments; empty ones are not set.
    pub platform_args: Vec<(String, String)>,
    /// Patterns of the context's `.dockerignore`.
    pub ignore: Option<&'a Patterns>,
    /// Looks up a base image in what is known locally.
    pub base: Option<&'a BaseLookup<'a>>,
    /// Text to use instead of the file's `# check=` directive.
    pub check: Option<String>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Options")
            .field("build_args", &self.build_args)
            .field("platform_args", &self.platform_args)
            .field("ignore", &self.ignore)
            .field("check", &self.check)
            .finish_non_exhaustive()
    }
}

/// What is known of a base image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// `Env` of its config.
    pub env: Vec<String>,
    /// Whether its config has a `Shell`.
    pub has_shell: bool,
    /// Its platform, as in `linux/arm64`.
    pub platform: Option<String>,
}

/// What the rules found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Warnings in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// Whether the file (or the build) asks for warnings to count as errors.
    pub is_error: bool,
}

impl Findings {
    /// The error of a file that wants no warnings and has some.
    pub fn error(&self) -> Option<String> {
        if !self.is_error || self.warnings.is_empty() {
            return None;
        }
        let mut rules: Vec<&str> = self.warnings.iter().map(|warning| warning.code).collect();
        rules.sort_unstable();
        rules.dedup();
        Some(format!(
            "lint violation found for rules: {}",
            rules.join(", ")
        ))
    }
}

/// Checks a file by all rules that it does not switch off.
///
/// # Errors
/// Fails if the check directive, or the text given instead of it, can't be understood.
pub fn check(file: &Dockerfile, options: &Options<'_>) -> Result<Findings, Box<Diagnostic>> {
    let config = file_config(file, options)?;
    for word in file
        .instructions
        .iter()
        .filter_map(|instruction| instruction.check.as_ref())
    {
        CheckConfig::parse(&word.text).map_err(|error| options_error(word.span, &error))?;
    }
    let model = Model::new(file, options);
    let mut warnings = Vec::new();
    for rule in RULES
        .iter()
        .filter(|rule| config.is_enabled(rule.name, rule.experimental))
    {
        let mut sink = rules::Sink::new(rule, &mut warnings);
        (rule.run)(&model, &mut sink);
    }
    warnings.sort_by_key(|warning| (warning.line, warning.span()));
    Ok(Findings {
        warnings,
        is_error: config.error,
    })
}

fn file_config(file: &Dockerfile, options: &Options<'_>) -> Result<CheckConfig, Box<Diagnostic>> {
    let directive = file.directives.get("check");
    let text = options
        .check
        .as_deref()
        .or(directive.map(|directive| directive.value.as_str()))
        .unwrap_or_default();
    CheckConfig::parse(text).map_err(|error| {
        let span = directive
            .filter(|_| options.check.is_none())
            .map(|directive| directive.span)
            .unwrap_or_default();
        options_error(span, &error)
    })
}

fn options_error(span: Span, error: &ConfigError) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(
        codes::CHECK_DIRECTIVE,
        span,
        format!("failed to parse check options: {error}"),
    ))
}
