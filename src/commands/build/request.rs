//! From the flags of `kiln build` to what the builder is asked for.

use std::collections::BTreeMap;

use kiln_builder::{Allow, BuildRequest, FetchedContext, Network, PullPolicy};
use kiln_store::{Platform, Reference};

use super::ssh::Agents;
use super::{Source, contexts, fields, jobs, steps};
use crate::cli::BuildArgs;
use crate::error::CommandError;
use crate::host::Machine;
use crate::output;
use crate::settings::{Settings, variable};

/// The build argument by which BuildKit keeps the history of a context that is a repository.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// The words that Go's `strconv.ParseBool` takes for yes.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// What has to stay as long as the build: the files of a context that was fetched, agents with keys of files.
#[derive(Debug)]
pub(super) struct Held {
    _context: Option<FetchedContext>,
    _agents: Agents,
}

/// Everything that the builder needs to know, from the flags, and what has to stay meanwhile.
pub(super) fn request(
    args: &BuildArgs,
    settings: &Settings,
    machine: &Machine<'_>,
) -> Result<(BuildRequest, Source, Held), CommandError> {
    let build_args = build_args(&args.build_arg)?;
    let secrets = steps::secrets(&args.secret)?;
    let named = contexts::named(&args.sources.build_context)?;
    let agents = Agents::new(&args.sources.ssh, &args.context, &named, settings, machine)?;
    let access = contexts::Access {
        machine,
        secrets: &secrets,
        ssh: &agents.sockets,
        keep_git_dir: build_args
            .get(KEEP_GIT_DIR)
            .is_some_and(|value| is_true(value)),
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
    request.ssh.clone_from(&agents.sockets);
    request.secrets = secrets;
    request.extra_hosts = steps::hosts(&args.sources.add_host)?;
    request.shm_size = steps::shm_size(args.sources.shm_size.as_deref())?;
    request.ulimits = steps::ulimits(&args.sources.ulimit)?;
    request.target.clone_from(&args.target);
    request.build_args = build_args;
    request.labels = super::super::pairs(&args.label, "--label")?;
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
    request.jobs = Some(args.jobs.unwrap_or_else(jobs::default_jobs));
    let held = Held {
        _context: input.held,
        _agents: agents,
    };
    Ok((request, source, held))
}

/// The names of the result.
pub(super) fn tags(args: &BuildArgs) -> Result<Vec<Reference>, CommandError> {
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
