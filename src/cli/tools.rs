//! `kiln check`, `debug`, and the flags of commands that only report.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct FormatArgs {
    /// `json` or a template such as `{{.Version}}`
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Name of the Dockerfile, `-` for standard input [default: CONTEXT/Dockerfile]
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// `text` or `json`
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: String,
    /// Folder with the Dockerfile
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub context: PathBuf,
}

#[derive(Debug, Args)]
pub struct DebugArgs {
    #[command(subcommand)]
    pub command: DebugCommand,
}

#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Print the parts of an image name, as JSON
    Reference {
        /// Image name
        name: String,
    },
}
