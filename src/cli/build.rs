//! `kiln build`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::SourceArgs;
use super::{AcceptedArgs, CallArgs, InspectBuildArgs, OutputArgs, TlsArgs};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, plain lines otherwise
    Auto,
    /// Bars
    Tty,
    /// One line an event
    Plain,
    /// One JSON object a line
    Json,
    /// One JSON object a line as BuildKit writes them
    Rawjson,
    /// Errors only
    #[value(alias = "none")]
    Quiet,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Name of the result, `name[:tag]`
    #[arg(long, short, value_name = "NAME")]
    pub tag: Vec<String>,
    /// Name of the Dockerfile: a path (in the context, if that is elsewhere), a URL, `-` for standard input [default: CONTEXT/Dockerfile]
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Value for an ARG; without a value, taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Label for the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Platforms to build for; several make an index. `local` is this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Run every step, whatever the cache holds
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub no_cache: bool,
    /// Stages to build without the cache
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// Ask the registry for newer base images
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub pull: bool,
    /// Network of RUN steps: `host`, `none` or `default`
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub network: String,
    /// Secret for RUN steps: `id=ID[,src=FILE|,env=NAME]`
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,
    /// Allow what a Dockerfile may not take by itself: `security.insecure`, `network.host`
    #[arg(long, value_name = "ENTITLEMENT")]
    pub allow: Vec<String>,
    /// Steps at once [default: two for each core, at least four, and no more than the available memory has room for at 512 MiB each]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Say why each step ran or was cached
    #[arg(long)]
    pub explain: bool,
    /// Say why a step ran the last time and whether it would run now, and build nothing; STEP is a line of the
    /// Dockerfile or a part of the step's name
    #[arg(long, value_name = "STEP")]
    pub why: Option<String>,
    #[command(flatten)]
    pub sources: SourceArgs,
    #[command(flatten)]
    pub outputs: OutputArgs,
    /// Print the image's ID and nothing else
    #[arg(long, short, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub quiet: bool,
    /// How progress is shown
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        env = "BUILDKIT_PROGRESS"
    )]
    pub progress: ProgressMode,
    /// Report mistakes in the Dockerfile and stop
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub check: bool,
    #[command(flatten)]
    pub call: CallArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    #[command(flatten)]
    pub inspect: InspectBuildArgs,
    #[command(flatten)]
    pub accepted: AcceptedArgs,
    /// Folder with the files that COPY and ADD take; or a repository, the URL of an archive or Dockerfile, `-` for one on standard input
    #[arg(value_name = "CONTEXT")]
    pub context: String,
}
