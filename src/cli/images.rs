//! `kiln images`, `tag`, `rmi`, `history`, `save`, `load`.

use std::path::PathBuf;

use clap::Args;

use super::ProgressMode;

#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Accepted for scripts: no intermediate images exist that would be hidden
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
    /// Condition: `dangling=`, `reference=`, `label=`, `label!=`, `before=`, `since=`, `until=`
    #[arg(long, short, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// List the platforms of each image below it
    #[arg(long)]
    pub tree: bool,
    /// `json`, `table` or a template such as `{{.Repository}}:{{.Tag}}`
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Only images of this name; `*` and `?` stand for any letters
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
    /// Keep what only the image needed, for the next build or `kiln prune`
    #[arg(long)]
    pub no_prune: bool,
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
    /// Print sizes and times as people read them; `--human=false` for bytes and RFC 3339
    #[arg(
        long,
        short = 'H',
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true"
    )]
    pub human: String,
    /// `json`, `table` or a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Image
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

#[derive(Debug, Args)]
pub struct SaveArgs {
    /// File to write; standard output without it
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Platform to choose from a multi-platform image [default: all that are here]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// How progress is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,
    /// Images; a name without a tag means all its tags
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Archive to read, compressed or not; standard input without it
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Platform to choose from a multi-platform image
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
    /// How progress is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,
}
