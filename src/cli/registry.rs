//! `kiln push`, `pull`, `login`, `logout`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use kiln_registry::{UploadWay, parse_size};

use super::ProgressMode;

// How registries are reached.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Registry that is reached without TLS or with a certificate nobody vouches for
    #[arg(long, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
    /// Longest time to wait because a registry limits requests, such as 90s, 10m or 6h [default: 5m]
    #[arg(long, value_name = "TIME", env = "KILN_MAX_WAIT", value_parser = parse_time)]
    pub max_wait: Option<Duration>,
    /// Move at most this many bytes a second to and from registries, such as 500k or 10m
    #[arg(long, value_name = "BYTES", env = "KILN_LIMIT_RATE", value_parser = parse_rate)]
    pub limit_rate: Option<u64>,
    /// Write every request and the reason of every choice to FILE, without secrets; `-` is standard error
    #[arg(long, value_name = "FILE", env = "KILN_TRACE")]
    pub trace: Option<PathBuf>,
    /// How layers are sent first: put, stream or chunked:SIZE [default: what is known of the registry]
    #[arg(long, value_name = "WAY", env = "KILN_UPLOAD")]
    pub upload: Option<UploadWay>,
}

/// `90`, `90s`, `10m`, `6h`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: Option<u64> = text[..digits].parse().ok();
    let scale = match &text[digits..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let seconds = number
        .zip(scale)
        .and_then(|(number, scale)| number.checked_mul(scale));
    let seconds = seconds.ok_or("a time is a number of seconds, or a number with s, m or h")?;
    Ok(Duration::from_secs(seconds))
}

/// `500k`, `10m`, `10M/s`.
fn parse_rate(text: &str) -> Result<u64, String> {
    let rate = parse_size(text.strip_suffix("/s").unwrap_or(text)).filter(|rate| *rate > 0);
    rate.ok_or_else(|| "a rate is a number of bytes, or a number with k, m or g".to_owned())
}

// How the registry of one image is reached, by the words of podman and skopeo.
#[derive(Debug, Clone, Default, Args)]
pub struct OneSideArgs {
    /// Credentials for the image's registry; `kiln login` keeps them out of the shell's history
    #[arg(long, value_name = "USER:PASSWORD", conflicts_with = "registry_token")]
    pub creds: Option<String>,
    /// Bearer token that the image's registry itself takes; no token is asked for then
    #[arg(
        long,
        value_name = "TOKEN",
        env = "KILN_REGISTRY_TOKEN",
        hide_env_values = true
    )]
    pub registry_token: Option<String>,
    /// Whether the image's registry needs TLS with a certificate that holds
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls_verify: Option<bool>,
    /// Folder with certificates for the image's registry: *.crt, and *.cert with *.key
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
}

impl OneSideArgs {
    /// Whether none of the flags was given.
    pub fn says_nothing(&self) -> bool {
        self.creds.is_none()
            && self.registry_token.is_none()
            && self.tls_verify.is_none()
            && self.cert_dir.is_none()
    }
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// Images to push
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Platforms to choose from a multi-platform image; several give a new index of them alone [default: all that it has]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Send layers that are here uncompressed as they are, and keep the image's digest
    #[arg(long)]
    pub keep_uncompressed: bool,
    /// Print the digest and nothing else
    #[arg(long, short)]
    pub quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,
    #[command(flatten)]
    pub side: OneSideArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// Images to pull
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Platform to choose from a multi-platform image
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Print the image's name and nothing else
    #[arg(long, short)]
    pub quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,
    #[command(flatten)]
    pub side: OneSideArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// User name
    #[arg(long, short, value_name = "NAME")]
    pub username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Password; `--password-stdin` keeps it out of the shell's history
    #[arg(
        long,
        short,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    pub password: Option<String>,
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Registry [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// Registry [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}
