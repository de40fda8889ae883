//! The command line as clap types: words, flags and help, no behaviour.
//!
//! Words and flags are Docker's and buildx's, so that habits and scripts carry over.

mod build;
mod containers;
mod copy;
mod foreign;
mod images;
mod life;
mod network;
mod nouns;
mod outputs;
mod prune;
mod registry;
mod sources;
mod tools;
mod verify;
mod volumes;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use build::{BuildArgs, ProgressMode};
pub use containers::{
    CommitArgs, ContainersArgs, CreateArgs, ExecArgs, InspectArgs, KillArgs, LogsArgs, PsArgs,
    RemoveArgs, RunArgs, StartArgs, StopArgs, WaitArgs,
};
pub use copy::{
    CatalogArgs, CompressArg, CopyArgs, DeleteArgs, DigestArgs, ManifestArgs, SideArgs, TagsArgs,
};
pub use foreign::ForeignArgs;
pub use images::{HistoryArgs, ImagesArgs, LoadArgs, RemoveImageArgs, SaveArgs, TagArgs};
pub use life::{
    AttachArgs, BootArgs, ContainerArgs, ContainerExportArgs, ContainerPruneArgs, CpArgs, DiffArgs,
    PortArgs, RenameArgs, StatsArgs, TopArgs, UpdateArgs,
};
pub use network::{
    NetworkArgs, NetworkCommand, NetworkConnectArgs, NetworkCreateArgs, NetworkDisconnectArgs,
    NetworkInspectArgs, NetworkListArgs, NetworkPruneArgs, NetworkRemoveArgs,
};
pub use nouns::{BuilderGroup, DfArgs, ImageGroup, SystemGroup};
pub use outputs::{AcceptedArgs, InspectBuildArgs, OutputArgs};
pub use prune::{PruneArgs, PruneScope};
pub use registry::{LoginArgs, LogoutArgs, OneSideArgs, PullArgs, PushArgs, TlsArgs};
pub use sources::SourceArgs;
pub use tools::{
    CallArgs, CheckArgs, DebugArgs, DebugCommand, ExpandArgs, FormatArgs, LaunchBenchArgs,
};
pub use verify::VerifyArgs;

pub use volumes::{
    VolumeArgs, VolumeCommand, VolumeCreateArgs, VolumeExportArgs, VolumeImportArgs,
    VolumeInspectArgs, VolumeListArgs, VolumePruneArgs, VolumeRemoveArgs,
};

/// Builds, moves and runs container images without a daemon and without root
#[derive(Debug, Parser)]
#[command(
    name = "kiln",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Where images, layers and containers are kept
    #[arg(long, global = true, value_name = "DIR", env = "KILN_ROOT")]
    pub root: Option<PathBuf>,
    /// Folder of Docker's client configuration (credentials)
    #[arg(long, global = true, value_name = "DIR", env = "DOCKER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Report images only when they are safely on disk
    #[arg(long, global = true)]
    pub durable: bool,
}

// Only the command that is typed gets its flags: all of them together take longer than some commands. They come after what is said here
// of the command, so types of flags have plain comments: one for documentation would be taken as the help of the command.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Report mistakes in a Dockerfile without building it
    Check(CheckArgs),
    /// Upload an image to a registry
    Push(PushArgs),
    /// Download an image from a registry
    Pull(PullArgs),
    /// Copy images between registries, layouts, archives, the store and docker
    Copy(Box<CopyArgs>),
    /// List the tags of a repository
    #[command(visible_alias = "ls-tags", alias = "list-tags")]
    Tags(TagsArgs),
    /// Print the digest that a name has now
    Digest(DigestArgs),
    /// Print the manifest or the configuration of an image
    Manifest(ManifestArgs),
    /// Delete images in a registry
    Delete(DeleteArgs),
    /// List the repositories of a registry
    Catalog(CatalogArgs),
    /// Store credentials for a registry
    Login(LoginArgs),
    /// Forget the credentials for a registry
    Logout(LogoutArgs),
    /// Create a container from an image and run it
    #[command(disable_help_flag = true)]
    Run(Box<RunArgs>),
    /// Create a container without starting it
    #[command(disable_help_flag = true)]
    Create(Box<CreateArgs>),
    /// Start stopped containers
    Start(StartArgs),
    /// Stop running containers: the stop signal, then SIGKILL
    Stop(StopArgs),
    /// Stop containers and start them again
    Restart(StopArgs),
    /// Send a signal to running containers
    Kill(KillArgs),
    /// Remove containers
    Rm(RemoveArgs),
    /// Run a command in a running container
    Exec(ExecArgs),
    /// Connect to a running container
    Attach(AttachArgs),
    /// List the processes of a container
    Top(TopArgs),
    /// List the published ports of a container
    Port(PortArgs),
    /// Give a container another name
    Rename(RenameArgs),
    /// Show what containers use
    Stats(StatsArgs),
    /// Change limits and restart policy of containers
    Update(UpdateArgs),
    /// Freeze the processes of containers
    Pause(ContainersArgs),
    /// Let the processes of paused containers go on
    Unpause(ContainersArgs),
    /// Start the containers that run whenever this machine does
    Boot(BootArgs),
    /// Copy files between a container and this machine
    Cp(CpArgs),
    /// Write the files of a container as a tar archive
    Export(ContainerExportArgs),
    /// Show what a container has changed of its image's files
    Diff(DiffArgs),
    /// The same commands under docker's longer names
    #[command(hide = true)]
    Container(ContainerArgs),
    /// Remove all stopped containers
    #[command(hide = true)]
    ContainerPrune(ContainerPruneArgs),
    /// Wait until containers stop and print their exit codes
    Wait(WaitArgs),
    /// Make an image of what a container has changed
    Commit(CommitArgs),
    /// List containers
    Ps(PsArgs),
    /// Print the output of a container
    Logs(LogsArgs),
    /// Print everything known about containers or images, as JSON
    Inspect(InspectArgs),
    /// Manage volumes
    Volume(VolumeArgs),
    /// Manage networks
    Network(NetworkArgs),
    /// List images
    Images(ImagesArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Remove images
    Rmi(RemoveImageArgs),
    /// Show how an image was made
    History(HistoryArgs),
    /// Write images into an archive that docker loads
    Save(SaveArgs),
    /// Take images from an archive: docker's or an image layout, compressed or not
    Load(LoadArgs),
    /// Remove what no image, container or running command uses
    Prune(PruneArgs),
    /// Show what the store holds and how much of the disk it takes
    Df(DfArgs),
    /// Check everything that is stored against its digest, and repair what is damaged
    Verify(VerifyArgs),
    /// Show versions
    Version(FormatArgs),
    /// Show the store and what this machine allows
    Info(FormatArgs),
    /// Check what this machine allows and say how to mend what is missing
    Doctor(FormatArgs),
    /// Docker's noun for images: `image ls`, `image rm`, `image prune`, ...
    #[command(hide = true)]
    Image(ImageGroup),
    /// Docker's noun for the whole: `system df`, `system prune`, `system info`
    #[command(hide = true)]
    System(SystemGroup),
    /// Docker's noun for builds: `builder build`, `builder prune`
    #[command(hide = true, alias = "buildx")]
    Builder(BuilderGroup),
    /// Put what the store holds on disk: run in the background by commands that made something
    #[command(hide = true)]
    Settle,
    /// Look inside: for tests and tools
    #[command(hide = true)]
    Debug(DebugArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_of_a_command_begins_as_in_the_list_of_all() {
        let mut cli = Cli::command();
        let about = |command: &clap::Command| {
            let about = command.get_about().map(ToString::to_string);
            (command.get_name().to_owned(), about)
        };
        let listed: Vec<_> = cli.get_subcommands().map(about).collect();
        assert!(listed.len() > 50);
        // Gives every command its flags, and checks them.
        cli.build();
        cli.clone().debug_assert();
        let alone: Vec<_> = cli.get_subcommands().map(about).collect();
        assert_eq!(alone, listed);
    }
}
