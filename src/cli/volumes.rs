//! `kiln volume`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct VolumeArgs {
    #[command(subcommand)]
    pub command: VolumeCommand,
}

#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// Create a volume
    Create(VolumeCreateArgs),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(VolumeListArgs),
    /// Remove volumes that no container uses
    #[command(visible_alias = "remove")]
    Rm(VolumeRemoveArgs),
    /// Print everything known about volumes, as JSON
    Inspect(VolumeInspectArgs),
    /// Remove the anonymous volumes that no container uses, with `--all` also those with a name
    Prune(VolumePruneArgs),
    /// Write the content of a volume as a tar archive
    Export(VolumeExportArgs),
    /// Unpack a tar archive into a volume
    Import(VolumeImportArgs),
}

#[derive(Debug, Args)]
pub struct VolumeCreateArgs {
    /// Driver: `local` is the only one
    #[arg(long, short, value_name = "DRIVER", default_value = "local")]
    pub driver: String,
    /// Driver option; `local` has none
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
    /// Label
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Name; a random one when missing
    #[arg(value_name = "VOLUME")]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct VolumeListArgs {
    /// Condition: `dangling=`, `driver=`, `label=`, `name=`
    #[arg(long, short, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Print names only
    #[arg(long, short)]
    pub quiet: bool,
    /// `json`, `table` or a template such as `{{.Name}}`
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct VolumeRemoveArgs {
    /// A volume that does not exist is fine
    #[arg(long, short)]
    pub force: bool,
    /// Volumes
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct VolumeInspectArgs {
    /// `json` or a template such as `{{.Mountpoint}}`
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Volumes
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct VolumePruneArgs {
    /// Also volumes with a name
    #[arg(long, short)]
    pub all: bool,
    /// Condition: `label=`, `label!=`
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Accepted for scripts: kiln does not ask
    #[arg(long, short)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct VolumeExportArgs {
    /// File instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Volume
    #[arg(value_name = "VOLUME")]
    pub volume: String,
}

#[derive(Debug, Args)]
pub struct VolumeImportArgs {
    /// Volume, which exists
    #[arg(value_name = "VOLUME")]
    pub volume: String,
    /// Archive; `-` or nothing is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub source: PathBuf,
}

impl VolumeCommand {
    /// Whether it reads or changes files of containers, which belong to subordinate ids.
    pub fn needs_user_namespace(&self) -> bool {
        matches!(
            self,
            Self::Rm(_) | Self::Prune(_) | Self::Export(_) | Self::Import(_)
        )
    }
}
