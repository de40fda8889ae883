//! `kiln prune` and its forms: `image prune`, `builder prune`, `system prune`.

use clap::Args;

/// What a prune is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PruneScope {
    /// `kiln prune`: images without a name and strays; with `--all` the build cache and unused images too.
    #[default]
    Store,
    /// `system prune`: that, the whole build cache that nothing uses, and stopped containers before it.
    System,
    /// `image prune`: images alone.
    Images,
    /// `builder prune`: the build cache alone.
    Cache,
}

#[derive(Debug, Default, Args)]
pub struct PruneArgs {
    /// What the word before it chose.
    #[arg(skip)]
    pub scope: PruneScope,
    /// Also images that have a name but no container, and the build cache
    #[arg(long, short)]
    pub all: bool,
    /// Condition: `until=24h` (or a time), `label=KEY[=VALUE]`, `label!=KEY[=VALUE]`
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Remove only as much as it takes for images and build cache to fit into this many bytes (`10GB`): compressed layers
    /// that a registry has first, then what was not used for longest
    #[arg(
        long,
        value_name = "SIZE",
        aliases = ["keep-storage", "reserved-space"]
    )]
    pub max_used_space: Option<String>,
    /// Remove only as much as it takes for this many bytes to be free on the disk
    #[arg(long, value_name = "SIZE", conflicts_with = "max_used_space")]
    pub min_free_space: Option<String>,
    /// Also anonymous volumes that no container uses
    #[arg(long)]
    pub volumes: bool,
    /// Show what would be removed and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Accepted for scripts: kiln does not ask
    #[arg(long, short)]
    pub force: bool,
    /// Accepted for scripts
    #[arg(long, hide = true)]
    pub verbose: bool,
}
