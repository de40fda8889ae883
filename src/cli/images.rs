//! `kiln images`, `tag`, `rmi`, `history`, `prune`.

use clap::Args;

#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Accepted for scripts: all images are listed anyway
    #[arg(long, short)]
    pub all: bool,
    /// Print IDs only
    #[arg(long, short)]
    pub quiet: bool,
    /// Don't shorten IDs
    #[arg(long)]
    pub no_trunc: bool,
    /// Show digests
    #[arg(long)]
    pub digests: bool,
    /// `json`, `table` or a template such as `{{.Repository}}:{{.Tag}}`
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Only images of this name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct TagArgs {
    /// Image
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Its other name
    #[arg(value_name = "TARGET")]
    pub target: String,
}

#[derive(Debug, Args)]
pub struct RemoveImageArgs {
    /// Also when containers use the image
    #[arg(long, short)]
    pub force: bool,
    /// Images to remove
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Don't shorten
    #[arg(long)]
    pub no_trunc: bool,
    /// Print image IDs only
    #[arg(long, short)]
    pub quiet: bool,
    /// `json`, `table` or a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Image
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Also images that have a name but no container
    #[arg(long, short)]
    pub all: bool,
    /// Show what would be removed and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Accepted for scripts: kiln does not ask
    #[arg(long, short)]
    pub force: bool,
}
