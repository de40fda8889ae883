//! Docker's nouns: `kiln image ls` and its like mean the plain commands.

use clap::{Args, Subcommand};

use super::{
    BuildArgs, Command, FormatArgs, HistoryArgs, ImagesArgs, InspectArgs, LoadArgs, PruneArgs,
    PruneScope, PullArgs, PushArgs, RemoveImageArgs, SaveArgs, TagArgs,
};

// `kiln image ...`
#[derive(Debug, Args)]
pub struct ImageGroup {
    #[command(subcommand)]
    pub command: ImageCommand,
}

#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Show how an image was made
    History(HistoryArgs),
    /// Print everything known about images, as JSON
    Inspect(InspectArgs),
    /// List images
    #[command(visible_alias = "list")]
    Ls(ImagesArgs),
    /// Remove images that no container uses
    Prune(PruneArgs),
    /// Download images from a registry
    Pull(PullArgs),
    /// Upload images to a registry
    Push(PushArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(RemoveImageArgs),
    /// Take images from an archive
    Load(LoadArgs),
    /// Write images into an archive that docker loads
    Save(SaveArgs),
    /// Give an image another name
    Tag(TagArgs),
}

// `kiln system ...`
#[derive(Debug, Args)]
pub struct SystemGroup {
    #[command(subcommand)]
    pub command: SystemCommand,
}

#[derive(Debug, Subcommand)]
pub enum SystemCommand {
    /// Show what the store holds and how much of the disk it takes
    Df(DfArgs),
    /// Show the store and what this machine allows
    Info(FormatArgs),
    /// Remove stopped containers, images without a name and the build cache that nothing uses
    Prune(PruneArgs),
}

// `kiln builder ...`, also `kiln buildx ...`
#[derive(Debug, Args)]
pub struct BuilderGroup {
    #[command(subcommand)]
    pub command: BuilderCommand,
}

#[derive(Debug, Subcommand)]
pub enum BuilderCommand {
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Show how much of the disk the build cache takes
    Du(DfArgs),
    /// Remove build cache
    Prune(PruneArgs),
}

// Flags of `kiln df`.
#[derive(Debug, Args)]
pub struct DfArgs {
    /// List every image
    #[arg(long, short)]
    pub verbose: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

impl ImageCommand {
    /// The plain command that the noun and its verb mean.
    pub fn plain(self) -> Command {
        match self {
            Self::Build(args) => Command::Build(args),
            Self::History(args) => Command::History(args),
            Self::Inspect(args) => Command::Inspect(InspectArgs {
                kind: Some("image".to_owned()),
                ..args
            }),
            Self::Ls(args) => Command::Images(args),
            Self::Prune(args) => prune(args, PruneScope::Images),
            Self::Pull(args) => Command::Pull(args),
            Self::Push(args) => Command::Push(args),
            Self::Rm(args) => Command::Rmi(args),
            Self::Load(args) => Command::Load(args),
            Self::Save(args) => Command::Save(args),
            Self::Tag(args) => Command::Tag(args),
        }
    }
}

impl SystemCommand {
    /// The plain command that the noun and its verb mean.
    pub fn plain(self) -> Command {
        match self {
            Self::Df(args) => Command::Df(args),
            Self::Info(args) => Command::Info(args),
            Self::Prune(args) => prune(args, PruneScope::System),
        }
    }
}

impl BuilderCommand {
    /// The plain command that the noun and its verb mean.
    pub fn plain(self) -> Command {
        match self {
            Self::Build(args) => Command::Build(args),
            Self::Du(args) => Command::Df(args),
            Self::Prune(args) => prune(args, PruneScope::Cache),
        }
    }
}

fn prune(args: PruneArgs, scope: PruneScope) -> Command {
    Command::Prune(PruneArgs { scope, ..args })
}
