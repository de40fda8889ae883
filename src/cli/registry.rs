//! `kiln push`, `pull`, `login`, `logout`.

use clap::Args;

use super::ProgressMode;

/// How registries are reached.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Registry that is reached without TLS or with a certificate nobody vouches for
    #[arg(long, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// Images to push
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Print the digest and nothing else
    #[arg(long, short)]
    pub quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,
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
