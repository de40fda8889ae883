//! Commands that look into containers or change what they are: `attach top port rename`, and the group `container`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    Command, CommitArgs, ContainersArgs, CreateArgs, ExecArgs, InspectArgs, KillArgs, LogsArgs,
    PsArgs, RemoveArgs, RunArgs, StartArgs, StopArgs, WaitArgs,
};

#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Keys that leave the terminal and let the container run
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Don't pass standard input on
    #[arg(long)]
    pub no_stdin: bool,
    /// Pass signals on
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub sig_proxy: bool,
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Options of ps(1), which lists the processes then
    #[arg(
        value_name = "PS OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PortArgs {
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Port of the container; all when missing
    #[arg(value_name = "PORT[/PROTOCOL]")]
    pub port: Option<String>,
}

#[derive(Debug, Args)]
pub struct RenameArgs {
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct CpArgs {
    /// Keep users and groups as numbers
    #[arg(long, short)]
    pub archive: bool,
    /// Follow a link at the end of the source
    #[arg(long, short = 'L')]
    pub follow_link: bool,
    /// Don't tell what was copied
    #[arg(long, short)]
    pub quiet: bool,
    /// `CONTAINER:PATH`, a path of this machine, or `-` for an archive on standard input
    #[arg(value_name = "SOURCE", allow_hyphen_values = true)]
    pub source: String,
    /// `CONTAINER:PATH`, a path of this machine, or `-` for an archive on standard output
    #[arg(value_name = "TARGET", allow_hyphen_values = true)]
    pub target: String,
}

#[derive(Debug, Args)]
pub struct ContainerExportArgs {
    /// File instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Show it once
    #[arg(long)]
    pub no_stream: bool,
    /// Also containers that do not run
    #[arg(long, short)]
    pub all: bool,
    /// Don't shorten
    #[arg(long)]
    pub no_trunc: bool,
    /// `json`, `table` or a template such as `{{.Name}} {{.CPUPerc}}`
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Containers; all that run when missing
    #[arg(value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Memory in bytes, or with k, m, g
    #[arg(long, short, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Memory and swap together; -1 is no limit of swap
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Number of processors, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Weight beside other containers
    #[arg(long, short, value_name = "SHARES")]
    pub cpu_shares: Option<u64>,
    /// Number of processes and threads
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Start it again: `no`, `always`, `unless-stopped` or `on-failure[:N]`
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// Containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct BootArgs {
    /// Print a unit for systemd that starts them
    #[arg(long)]
    pub unit: bool,
}

#[derive(Debug, Args)]
pub struct ContainerPruneArgs {
    /// Condition: `until=`, `label=`, `label!=`
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Accepted for scripts: kiln does not ask
    #[arg(long, short)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct ContainerArgs {
    #[command(subcommand)]
    pub command: Box<ContainerCommand>,
}

// Docker's longer names: `container run` is `run`.
#[derive(Debug, Subcommand)]
pub enum ContainerCommand {
    /// Create a container from an image and run it
    #[command(disable_help_flag = true)]
    Run(Box<RunArgs>),
    /// Create a container without starting it
    #[command(disable_help_flag = true)]
    Create(Box<CreateArgs>),
    /// Start stopped containers
    Start(StartArgs),
    /// Stop running containers
    Stop(StopArgs),
    /// Stop containers and start them again
    Restart(StopArgs),
    /// Send a signal to running containers
    Kill(KillArgs),
    /// Remove containers
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
    /// Run a command in a running container
    Exec(ExecArgs),
    /// Connect to a running container
    Attach(AttachArgs),
    /// Wait until containers stop and print their exit codes
    Wait(WaitArgs),
    /// Make an image of what a container has changed
    Commit(CommitArgs),
    /// List containers
    #[command(visible_aliases = ["ps", "list"])]
    Ls(PsArgs),
    /// Print the output of a container
    Logs(LogsArgs),
    /// Print everything known about containers, as JSON
    Inspect(InspectArgs),
    /// List the processes of a container
    Top(TopArgs),
    /// List the published ports of a container
    Port(PortArgs),
    /// Give a container another name
    Rename(RenameArgs),
    /// Show what containers use
    Stats(StatsArgs),
    /// Change limits and restart policy
    Update(UpdateArgs),
    /// Freeze the processes of containers
    Pause(ContainersArgs),
    /// Let the processes of paused containers go on
    Unpause(ContainersArgs),
    /// Copy files between a container and this machine
    Cp(CpArgs),
    /// Write the files of a container as a tar archive
    Export(ContainerExportArgs),
    /// Show what a container has changed of its image's files
    Diff(DiffArgs),
    /// Remove all stopped containers
    Prune(ContainerPruneArgs),
}

impl ContainerCommand {
    /// The same as a command of its own.
    pub fn plain(self) -> Command {
        match self {
            Self::Run(args) => Command::Run(args),
            Self::Create(args) => Command::Create(args),
            Self::Start(args) => Command::Start(args),
            Self::Stop(args) => Command::Stop(args),
            Self::Restart(args) => Command::Restart(args),
            Self::Kill(args) => Command::Kill(args),
            Self::Rm(args) => Command::Rm(args),
            Self::Exec(args) => Command::Exec(args),
            Self::Attach(args) => Command::Attach(args),
            Self::Wait(args) => Command::Wait(args),
            Self::Commit(args) => Command::Commit(args),
            Self::Ls(args) => Command::Ps(args),
            Self::Logs(args) => Command::Logs(args),
            Self::Inspect(mut args) => {
                args.kind = Some("container".to_owned());
                Command::Inspect(args)
            }
            Self::Top(args) => Command::Top(args),
            Self::Port(args) => Command::Port(args),
            Self::Rename(args) => Command::Rename(args),
            Self::Stats(args) => Command::Stats(args),
            Self::Update(args) => Command::Update(args),
            Self::Pause(args) => Command::Pause(args),
            Self::Unpause(args) => Command::Unpause(args),
            Self::Cp(args) => Command::Cp(args),
            Self::Export(args) => Command::Export(args),
            Self::Diff(args) => Command::Diff(args),
            Self::Prune(args) => Command::ContainerPrune(args),
        }
    }
}
