//! `kiln verify`.

use clap::Args;

use super::TlsArgs;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Remove what is damaged and make it again: from what is here, else by pulling it from where it came from
    #[arg(long)]
    pub repair: bool,
    /// `json` or a template such as `{{.Blobs}}`
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print what is damaged and nothing else
    #[arg(long, short)]
    pub quiet: bool,
    #[command(flatten)]
    pub tls: TlsArgs,
}
