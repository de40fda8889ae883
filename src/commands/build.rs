//! `kiln build`.

use std::time::Duration;

use kiln_builder::{BuildError, BuildRequest, Built};
use serde_json::json;

mod archives;
mod caches;
mod contexts;
mod dockerfile;
mod fields;
mod insecure;
mod jobs;
mod outputs;
mod provenance;
mod refusals;
mod request;
mod results;
mod shipping;
mod ssh;
mod steps;
mod verify;
mod why;

pub use dockerfile::{Source, ignore_file};
pub use request::build_args;
use request::request;

use super::check;
use crate::cli::BuildArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Machine;
use crate::output::{self, Progress, Summary};
use crate::settings::Settings;

/// Builds an image.
pub fn run(args: &BuildArgs, settings: &Settings) -> Result<u8, CommandError> {
    let outputs = outputs::outputs(args)?;
    let mut tls = args.tls.clone();
    tls.insecure_registry
        .extend(insecure::registries(&outputs, args)?);
    let machine = Machine::new(settings, &tls);
    let (mut request, source, _held) = request(args, settings, &machine)?;
    let current = std::env::current_dir()?;
    let own = [
        request.context.as_deref(),
        Some(&current),
        Some(&settings.root),
    ];
    let own: Vec<&std::path::Path> = own.into_iter().flatten().collect();
    refusals::check(args, &request, &outputs, &own)?;
    if let Some(code) = question(args, &request, &source, settings)? {
        return Ok(code);
    }
    for note in args.accepted.notes() {
        output::talk(&note);
    }
    // The outputs say what becomes of the result.
    request.image = None;
    request.cache_from = caches::sources(&args.outputs.cache_from)?;
    let cache_targets = caches::targets(&args.outputs.cache_to)?;
    request.all_results = cache_targets.iter().any(caches::CacheTarget::holds_all);
    request.inline_cache = cache_targets.contains(&caches::CacheTarget::Inline);
    request.shell_on_error = args.inspect.on_error.as_deref() == Some("shell");
    request.shell_at = args.inspect.at;
    if let Some(step) = &args.why {
        return why::run(args, &request, &source, &machine.get()?.1, step);
    }
    let wanted_provenance = provenance::wanted(args)?;
    let began = jiff::Timestamp::now();
    let lint = check::before_build(&source, &check_inputs(&request), settings)?;
    let (host, builder) = machine.get()?;
    let shipping = shipping::Shipping::begin(host, &outputs);
    let builder = &kiln_builder::Host {
        layer_made: shipping.as_ref().map(shipping::Shipping::hook),
        ..builder.clone()
    };
    let progress = Progress::new(args.progress, args.quiet, args.explain);
    let started = std::time::Instant::now();
    let result = match args.inspect.verify {
        true => verify::build_twice(&request, builder, &progress),
        false => kiln_builder::build(&request, builder, &progress).map_err(verify::Failure::Build),
    };
    progress.finish();
    if let Some(reason) = builder
        .networks
        .as_ref()
        .filter(|_| !args.quiet)
        .and_then(|networks| networks.refusal())
    {
        output::talk(&format!("notice: steps used the host's network: {reason}"));
    }
    let built = result.map_err(|failed| match failed {
        verify::Failure::Build(error) => failure(&error, &source, &progress),
        verify::Failure::Differs(difference) => verify::report(&difference),
    })?;
    if !args.quiet {
        output::diagnostics(&source.name, &source.text, &built.warnings);
        check::remind(&lint);
    }
    let elapsed = started.elapsed();
    drop(shipping);
    let statement = wanted_provenance
        .as_ref()
        .map(|options| provenance::of(&request, &built, options, began));
    let told = results::write(args, host, &outputs, &built, statement.as_ref())?;
    caches::export(builder, &cache_targets, &built, args.quiet)?;
    host.settle_later()?;
    let scripts = || provenance::for_scripts(&request, &built, began);
    results::write_files(args, &built, &told, scripts)?;
    let id = results::image_id(&built, &told);
    let free_stdout = !outputs.iter().any(outputs::Output::to_stdout);
    summary(args, &built, &id, elapsed, &progress, free_stdout)?;
    Ok(0)
}

/// Prints the steps that a build would take.
pub fn graph(args: &BuildArgs, settings: &Settings) -> Result<u8, CommandError> {
    let machine = Machine::new(settings, &args.tls);
    let (request, source, _held) = request(args, settings, &machine)?;
    let (_, builder) = machine.get()?;
    let progress = Progress::new(args.progress, args.quiet, false);
    let graph = kiln_builder::describe(&request, builder, &progress)
        .map_err(|error| failure(&error, &source, &progress))?;
    output::data(&format!("{graph:#}\n"))?;
    Ok(0)
}

impl BuildArgs {
    /// Whether `--call` asks something about the file and nothing is built.
    pub fn asks_only(&self) -> bool {
        self.call
            .call
            .as_deref()
            .is_some_and(|call| !call.starts_with("build"))
    }
}

/// Answers `--check` and `--call`; nothing if the image is to be built.
fn question(
    args: &BuildArgs,
    request: &BuildRequest,
    source: &Source,
    settings: &Settings,
) -> Result<Option<u8>, CommandError> {
    if let Some(call) = &args.call.call
        && super::outline::answers(call)?
    {
        let target = args.target.as_deref();
        return super::outline::run(source, call, target, &request.build_args).map(Some);
    }
    let style = match check::asked_for(&args.call)? {
        None if args.check => check::Style::Text,
        None => return Ok(None),
        Some(style) => style,
    };
    check::report(source, &check_inputs(request), settings, style).map(Some)
}

fn check_inputs(request: &BuildRequest) -> check::Inputs {
    check::Inputs {
        ignore: request.ignore.clone(),
        build_args: request.build_args.clone(),
        platform: request.platform.clone(),
    }
}

/// The ID for scripts on standard output when it is asked for, a closing line for people otherwise.
fn summary(
    args: &BuildArgs,
    built: &Built,
    id: &str,
    elapsed: Duration,
    progress: &Progress,
    free_stdout: bool,
) -> Result<(), CommandError> {
    if args.quiet {
        // Standard output may hold an archive already.
        if free_stdout {
            output::data(&format!("{id}\n"))?;
        }
        return Ok(());
    }
    let ran = built
        .steps
        .iter()
        .filter(|step| !step.outcome.is_cached())
        .count();
    let name = args
        .tag
        .first()
        .map(|tag| format!(" {tag}"))
        .unwrap_or_default();
    let cached = built.steps.len() - ran;
    progress.summary(&Summary {
        text: format!(
            "built{name} {id} in {}: {ran} steps ran, {cached} cached",
            format::duration(elapsed)
        ),
        value: json!({
            "event": "built",
            "image": id,
            "names": args.tag,
            "ran": ran,
            "cached": cached,
            "seconds": elapsed.as_secs_f64(),
        }),
    });
    Ok(())
}

/// A failed build in people's words.
fn failure(error: &BuildError, source: &Source, progress: &Progress) -> CommandError {
    match error {
        BuildError::Dockerfile(diagnostics) => {
            output::diagnostics(&source.name, &source.text, diagnostics);
            CommandError::silent(1)
        }
        BuildError::Step(failure) => {
            progress.step_failed(&source.name, &source.text, failure);
            CommandError::silent(1)
        }
        // The shell's own end is what the user asked for.
        BuildError::Shell(code) => CommandError::silent(u8::try_from(*code).unwrap_or(1)),
        other => CommandError::from(anyhow::anyhow!("{other}")),
    }
}
