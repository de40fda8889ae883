//! `kiln build`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use kiln_builder::{Allow, BuildError, BuildRequest, Built, FetchedContext, Network, PullPolicy};
use kiln_store::{Platform, Reference};
use serde_json::json;

mod archives;
mod caches;
mod contexts;
mod fields;
mod insecure;
mod outputs;
mod provenance;
mod results;
mod shipping;
mod steps;
mod verify;
mod why;

use super::check;
use crate::cli::BuildArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Machine;
use crate::output::{self, Progress, Summary};
use crate::settings::{Settings, variable};

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
    results::check(&outputs, &own.into_iter().flatten().collect::<Vec<_>>())?;
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

/// A Dockerfile as the user named it.
#[derive(Debug)]
pub struct Source {
    /// How messages call it.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A Dockerfile's text must be UTF-8.
    fn new(name: String, bytes: Vec<u8>) -> Result<Self, CommandError> {
        let text = String::from_utf8(bytes).map_err(|error| {
            CommandError::usage(format!(
                "{name}: not UTF-8 at byte {}",
                error.utf8_error().valid_up_to()
            ))
        })?;
        Ok(Self { name, text })
    }

    /// Reads the Dockerfile: `-` is standard input, nothing is `Dockerfile` (or `dockerfile`) in the context.
    pub fn read(
        file: Option<&Path>,
        context: &Path,
    ) -> Result<(Self, Option<PathBuf>), CommandError> {
        if file == Some(Path::new("-")) {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .context("reading the Dockerfile from standard input")?;
            return Ok((Self::new("-".to_owned(), bytes)?, None));
        }
        let path = match file {
            Some(file) => file.to_path_buf(),
            None => default_file(context)?,
        };
        let bytes = std::fs::read(&path)
            .with_context(|| format!("reading the Dockerfile `{}`", path.display()))?;
        Ok((Self::new(path.display().to_string(), bytes)?, Some(path)))
    }
}

fn default_file(context: &Path) -> Result<PathBuf, CommandError> {
    for name in ["Dockerfile", "dockerfile"] {
        let path = context.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    Err(
        CommandError::usage(format!("there is no Dockerfile in `{}`", context.display()))
            .hint("name it with `-f FILE`, or give the folder that holds it")
            .code(1),
    )
}

/// Everything that the builder needs to know, from the flags, and what the context's files live in.
fn request(
    args: &BuildArgs,
    settings: &Settings,
    machine: &Machine<'_>,
) -> Result<(BuildRequest, Source, Option<FetchedContext>), CommandError> {
    let secrets = steps::secrets(&args.secret)?;
    let named = contexts::named(&args.sources.build_context)?;
    let ssh = contexts::agents(&args.sources.ssh, &args.context, &named, settings)?;
    let access = contexts::Access {
        machine,
        secrets: &secrets,
        ssh: &ssh,
    };
    let input = contexts::input(args.file.as_deref(), &args.context, &access)?;
    let source = input.source;
    let mut request = BuildRequest::new(source.text.clone());
    request.dockerfile_name.clone_from(&source.name);
    request.ignore = input.ignore;
    request.context = input.directory;
    request.context_identity = input.identity;
    request.context_time = input.held.as_ref().and_then(FetchedContext::time);
    request.named_contexts = named;
    request.ssh = ssh;
    request.secrets = secrets;
    request.extra_hosts = steps::hosts(&args.sources.add_host)?;
    request.shm_size = steps::shm_size(args.sources.shm_size.as_deref())?;
    request.ulimits = steps::ulimits(&args.sources.ulimit)?;
    request.target.clone_from(&args.target);
    request.build_args = build_args(&args.build_arg)?;
    request.labels = super::pairs(&args.label, "--label")?;
    let mut platforms = platforms(&args.platform)?.into_iter();
    request.platform = platforms.next();
    request.more_platforms = platforms.collect();
    request.tags = tags(args)?;
    request.no_cache = args.no_cache;
    request.no_cache_filter.clone_from(&args.no_cache_filter);
    request.pull = if args.pull {
        PullPolicy::Always
    } else {
        PullPolicy::Missing
    };
    source_date_epoch(&mut request)?;
    request.allow = allow(&args.allow)?;
    request.network = network(&args.network, &mut request.allow)?;
    request.jobs = args.jobs;
    Ok((request, source, input.held))
}

/// The names of the result.
fn tags(args: &BuildArgs) -> Result<Vec<Reference>, CommandError> {
    let all = args.tag.iter().map(|tag| tag.parse::<Reference>());
    Ok(all.collect::<Result<_, _>>()?)
}

/// The platforms of the result, each once; `local` is this machine's.
fn platforms(texts: &[String]) -> Result<Vec<Platform>, CommandError> {
    let mut all: Vec<Platform> = Vec::new();
    for text in texts {
        let platform = match text.trim() {
            "local" => Platform::host(),
            text => text
                .parse::<Platform>()
                .map_err(|error| fields::refuse("--platform", text, text, &error.to_string()))?,
        };
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    Ok(all)
}

/// The ignore file beside the Dockerfile, else the one at the context's root (dockerfile reference, `.dockerignore`).
pub fn ignore_file(
    dockerfile: Option<&Path>,
    context: &Path,
) -> Result<Option<String>, CommandError> {
    let beside = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in beside.into_iter().chain([context.join(".dockerignore")]) {
        match std::fs::read(&path) {
            Ok(bytes) => return Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(anyhow::Error::new(error)
                    .context(format!("reading `{}`", path.display()))
                    .into());
            }
        }
    }
    Ok(None)
}

/// `NAME=VALUE`, or `NAME` with the value of this environment; an unset one stays undefined, as with docker.
pub fn build_args(args: &[String]) -> Result<BTreeMap<String, String>, CommandError> {
    let mut values = BTreeMap::new();
    for arg in args {
        match arg.split_once('=') {
            Some(("", _)) => {
                return Err(CommandError::usage(format!(
                    "--build-arg `{arg}` has no name"
                )));
            }
            Some((name, value)) => drop(values.insert(name.to_owned(), value.to_owned())),
            None => {
                if let Some(value) = std::env::var_os(arg) {
                    values.insert(arg.clone(), value.to_string_lossy().into_owned());
                }
            }
        }
    }
    Ok(values)
}

/// What `SOURCE_DATE_EPOCH` may name besides a time.
const CONTEXT: &str = "context";

/// `SOURCE_DATE_EPOCH` of the environment becomes an argument of the build, as with buildx; what it says has to be a time, or
/// a context that has one.
fn source_date_epoch(request: &mut BuildRequest) -> Result<(), CommandError> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    if let (None, Some(value)) = (request.build_args.get(NAME), variable(NAME)) {
        let value = value.to_string_lossy().into_owned();
        request.build_args.insert(NAME.to_owned(), value);
    }
    let Some(text) = request.build_args.get(NAME).filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let is_known =
        text == CONTEXT || request.named_contexts.contains_key(text) || text.parse::<i64>().is_ok();
    match is_known {
        true => Ok(()),
        false => Err(
            CommandError::usage(format!("invalid SOURCE_DATE_EPOCH: {text}"))
                .hint("it is a number of seconds since 1970, or `context` for the time of the context's commit"),
        ),
    }
}

fn allow(entitlements: &[String]) -> Result<Allow, CommandError> {
    let mut allow = Allow::default();
    for name in entitlements {
        match name.as_str() {
            "network.host" => allow.network_host = true,
            "security.insecure" => allow.security_insecure = true,
            // `mode=delete` itself says it.
            "buildx.local.delete" => {}
            device if device == "device" || device.starts_with("device=") => {
                output::talk(
                    "note: --allow device has no effect: kiln gives steps no devices of the machine",
                );
            }
            other => {
                return Err(
                    CommandError::usage(format!("unknown entitlement `{other}`"))
                        .hint("`network.host` and `security.insecure` exist"),
                );
            }
        }
    }
    Ok(allow)
}

/// The network of steps that name none. Whoever asks for `host` on the command line allows it by that.
fn network(mode: &str, allow: &mut Allow) -> Result<Network, CommandError> {
    match mode {
        "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => {
            allow.network_host = true;
            Ok(Network::Host)
        }
        other => Err(
            CommandError::usage(format!("invalid network mode \"{other}\""))
                .hint("`default`, `none` and `host` exist"),
        ),
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
