//! `kiln check` and `kiln build --check`: mistakes in a Dockerfile, without building it and without asking a registry.

use std::collections::BTreeMap;

use kiln_grammar::ignore::Patterns;
use kiln_grammar::lint::{self, BaseImage, Findings};
use kiln_grammar::report::Report;
use kiln_grammar::{Diagnostic, Dockerfile, Severity, frontend, parse, stages};
use kiln_store::{Platform, Reference, Store};

use super::build::{self, Source};
use crate::cli::{CallArgs, CheckArgs};
use crate::error::CommandError;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Text,
    Json,
    Sarif,
}

impl Style {
    /// The style of that name.
    pub fn parse(name: &str) -> Result<Self, CommandError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "sarif" => Ok(Self::Sarif),
            other => Err(CommandError::usage(format!("unknown format `{other}`"))
                .hint("`text`, `json` and `sarif` exist")),
        }
    }
}

/// What the check is told beside the file.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Text of the ignore file.
    pub ignore: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--platform`.
    pub platform: Option<Platform>,
}

/// The argument that replaces a file's `# check=` directive.
const CHECK_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Reports mistakes.
pub fn run(args: &CheckArgs, settings: &Settings) -> Result<u8, CommandError> {
    let style = Style::parse(&args.format)?;
    let (source, path) = Source::read(args.file.as_deref(), &args.context)?;
    let build_args = build::build_args(&args.build_arg)?;
    if let Some(call) = &args.call.call
        && super::outline::answers(call)?
    {
        return super::outline::run(&source, call, args.target.as_deref(), &build_args);
    }
    let inputs = Inputs {
        ignore: build::ignore_file(path.as_deref(), &args.context)?,
        build_args,
        platform: args.platform.as_deref().map(str::parse).transpose()?,
    };
    report(&source, &inputs, settings, style)
}

/// Whether a `--call` asks for a check, and in which style.
pub fn asked_for(call: &CallArgs) -> Result<Option<Style>, CommandError> {
    let Some(call) = &call.call else {
        return Ok(None);
    };
    let (method, options) = call.split_once(',').unwrap_or((call, ""));
    match (method, options.strip_prefix("format=").unwrap_or("text")) {
        ("check" | "lint", style) => Style::parse(style).map(Some),
        _ => Ok(None),
    }
}

/// Reports mistakes of a Dockerfile; the exit code says whether there was one.
pub fn report(
    source: &Source,
    inputs: &Inputs,
    settings: &Settings,
    style: Style,
) -> Result<u8, CommandError> {
    let (diagnostics, error) = examine(source, inputs, settings);
    let report = Report {
        path: &source.name,
        text: &source.text,
        diagnostics: &diagnostics,
    };
    match style {
        Style::Json => output::data(&format!("{:#}\n", report.to_json()))?,
        Style::Sarif => {
            let log = report.to_sarif(env!("CARGO_PKG_VERSION"));
            output::data(&format!("{log:#}\n"))?;
        }
        Style::Text => {
            output::findings(&source.name, &source.text, &diagnostics)?;
            output::talk(&summary(&diagnostics));
            if let Some(error) = error {
                return Err(anyhow::anyhow!("{error}").into());
            }
        }
    }
    Ok(u8::from(!diagnostics.is_empty()))
}

/// Everything that is wrong with a file, and the error of one that wants no warnings and has some.
fn examine(
    source: &Source,
    inputs: &Inputs,
    settings: &Settings,
) -> (Vec<Diagnostic>, Option<String>) {
    if let Some(other) = other_frontend(source, inputs) {
        return (vec![other], None);
    }
    let parsed = parse(&source.text);
    let mut diagnostics = parsed.diagnostics;
    diagnostics.extend(stages::check_references(&parsed.file));
    match findings(&parsed.file, inputs, settings) {
        Ok(findings) => {
            let error = findings.error();
            diagnostics.extend(findings.warnings);
            (diagnostics, error)
        }
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            (diagnostics, None)
        }
    }
}

/// The error of a file that is no Dockerfile by its own account: nothing else can be said of it.
fn other_frontend(source: &Source, inputs: &Inputs) -> Option<Diagnostic> {
    let argument = inputs.build_args.get(frontend::ARGUMENT);
    frontend::check(&source.text, argument.map(String::as_str))
}

/// What the rules say of a file that is about to be built: warnings for the end of the build.
///
/// # Errors
/// Fails if the file wants warnings to count as errors and has some, or if its check directive can't be read.
pub fn before_build(
    source: &Source,
    inputs: &Inputs,
    settings: &Settings,
) -> Result<Vec<Diagnostic>, CommandError> {
    let parsed = parse(&source.text);
    if parsed.has_errors() || other_frontend(source, inputs).is_some() {
        // The build reports them.
        return Ok(Vec::new());
    }
    let show = |diagnostics: &[Diagnostic]| {
        output::diagnostics(&source.name, &source.text, diagnostics);
    };
    match findings(&parsed.file, inputs, settings) {
        Ok(findings) => match findings.error() {
            None => Ok(findings.warnings),
            Some(error) => {
                show(&findings.warnings);
                Err(anyhow::anyhow!("{error}").into())
            }
        },
        Err(diagnostic) => {
            show(&[*diagnostic]);
            Err(CommandError::silent(1))
        }
    }
}

/// Says at the end of a build which warnings there are, a line each.
pub fn remind(warnings: &[Diagnostic]) {
    if warnings.is_empty() {
        return;
    }
    output::talk(&format!(
        "{} (`kiln check` shows the places):",
        count(warnings.len(), "warning")
    ));
    for warning in warnings {
        let line = warning.line.unwrap_or_default();
        output::talk(&format!(
            " - {}: {} (line {line})",
            warning.code, warning.message
        ));
    }
}

fn findings(
    file: &Dockerfile,
    inputs: &Inputs,
    settings: &Settings,
) -> Result<Findings, Box<Diagnostic>> {
    let target = inputs.platform.clone().unwrap_or_else(Platform::host);
    // A pattern file that can't be read fails the build with its own message; here it only silences one rule.
    let patterns = inputs
        .ignore
        .as_deref()
        .and_then(|text| Patterns::parse(text).ok());
    let store = known_images(settings);
    let base = |name: &str| base_image(store.as_ref()?, name, &target);
    let options = lint::Options {
        build_args: inputs.build_args.clone(),
        platform_args: platform_args(&target),
        ignore: patterns.as_ref(),
        base: Some(&base),
        check: inputs.build_args.get(CHECK_ARGUMENT).cloned(),
    };
    lint::check(file, &options)
}

/// The store, if there is one: a check neither makes one nor fails for want of one.
fn known_images(settings: &Settings) -> Option<Store> {
    if !settings.root.join("format").exists() {
        return None;
    }
    Host::local(settings).ok().map(|host| host.store)
}

fn base_image(store: &Store, name: &str, platform: &Platform) -> Option<BaseImage> {
    let reference: Reference = name.parse().ok()?;
    let digest = store.resolve(&reference).ok()??;
    let image = store
        .image_for(&digest, platform)
        .or_else(|_| store.image(&digest))
        .ok()?;
    let config = &image.config;
    Some(BaseImage {
        env: config.config.env.clone(),
        has_shell: config.config.shell.is_some(),
        platform: Some(format!("{}/{}", config.os, config.architecture)),
    })
}

fn platform_args(target: &Platform) -> Vec<(String, String)> {
    let mut args = Vec::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", &Platform::host())] {
        args.push((format!("{prefix}PLATFORM"), platform.to_string()));
        args.push((format!("{prefix}OS"), platform.os.clone()));
        args.push((format!("{prefix}ARCH"), platform.architecture.clone()));
        let variant = platform.variant.clone().unwrap_or_default();
        args.push((format!("{prefix}VARIANT"), variant));
    }
    args.push(("TARGETSTAGE".to_owned(), "default".to_owned()));
    args
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .count();
    let warnings = diagnostics.len() - errors;
    match (errors, warnings) {
        (0, 0) => "no mistakes found".to_owned(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => {
            format!("{}, {}", count(errors, "error"), count(warnings, "warning"))
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
