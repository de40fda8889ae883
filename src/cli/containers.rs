//! `kiln run`, `exec` and the life of containers.

use std::path::PathBuf;

use clap::Args;

use super::foreign::ForeignArgs;
use super::{ProgressMode, TlsArgs};

// What a container is made of: shared by `run` and `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
    /// Name of the container
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Remove the container, with its anonymous volumes, when it stops
    #[arg(long)]
    pub rm: bool,
    /// Keep standard input open
    #[arg(long, short)]
    pub interactive: bool,
    /// Give the process a terminal
    #[arg(long, short)]
    pub tty: bool,
    /// Environment variable; without a value, taken from this environment
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// File with environment variables
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Working directory
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User, `name|uid[:group|gid]`
    #[arg(long, short, value_name = "USER")]
    pub user: Option<String>,
    /// Program instead of the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Host name
    #[arg(long, short = 'h', value_name = "NAME")]
    pub hostname: Option<String>,
    /// Line for /etc/hosts
    #[arg(long, value_name = "NAME:IP")]
    pub add_host: Vec<String>,
    /// DNS server
    #[arg(long, value_name = "IP")]
    pub dns: Vec<String>,
    /// DNS search domain
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Option for /etc/resolv.conf
    #[arg(long, value_name = "OPTION", alias = "dns-opt")]
    pub dns_option: Vec<String>,
    /// Label
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Publish a port: `[IP:][HOSTPORT:]PORT[/tcp|/udp]`
    #[arg(long, short, value_name = "PORT")]
    pub publish: Vec<String>,
    /// Port that the container listens on, for `--publish-all`
    #[arg(long, value_name = "PORT")]
    pub expose: Vec<String>,
    /// Publish all ports that the image exposes, on random host ports
    #[arg(long, short = 'P')]
    pub publish_all: bool,
    /// Bind a directory or a volume: `SOURCE:TARGET[:OPTIONS]`
    #[arg(long, short, value_name = "VOLUME")]
    pub volume: Vec<String>,
    /// Bind, volume or tmpfs: `type=...,source=...,target=...`
    #[arg(long, value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// Empty in-memory file system: `TARGET[:OPTIONS]`
    #[arg(long, value_name = "TARGET")]
    pub tmpfs: Vec<String>,
    /// Mount the volumes and binds of another container: `CONTAINER[:ro|rw]`
    #[arg(long, value_name = "CONTAINER")]
    pub volumes_from: Vec<String>,
    /// Network: a name, `bridge`, `none`, `host`, `container:NAME`, or `private` (loopback and published ports)
    #[arg(long, value_name = "NETWORK", alias = "net")]
    pub network: Option<String>,
    /// Whose processes it sees: `host` or `container:NAME`; its own otherwise
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,
    /// Whose shared memory it has: `host`; its own otherwise
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,
    /// Whose host name it has: `host`; its own otherwise
    #[arg(long, value_name = "MODE")]
    pub uts: Option<String>,
    /// Further name on the network, for other containers
    #[arg(long, value_name = "NAME", alias = "net-alias")]
    pub network_alias: Vec<String>,
    /// IPv4 address on the network
    #[arg(long, value_name = "IP")]
    pub ip: Option<String>,
    /// IPv6 address on the network
    #[arg(long, value_name = "IP")]
    pub ip6: Option<String>,
    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// No seccomp filter, no masked paths, all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// Capability to add
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Capability to drop
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// `no-new-privileges`, `seccomp=unconfined` or `seccomp=FILE` with a profile in Docker's JSON
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// Size of /dev/shm in bytes, or with k, m, g
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Limit: `NAME=SOFT[:HARD]`
    #[arg(long, value_name = "LIMIT")]
    pub ulimit: Vec<String>,
    /// Memory in bytes, or with k, m, g
    #[arg(long, short, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Memory and swap together; -1 is no limit of swap
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Number of processors, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Microseconds of processor time in each period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// Length of the period
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// Weight beside other containers; 1024 is usual
    #[arg(long, short, value_name = "SHARES")]
    pub cpu_shares: Option<u64>,
    /// Number of processes and threads; -1 is no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// How readily the kernel ends it when memory is short: -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i32>,
    /// Put a small init in front that reaps orphans and passes signals on
    #[arg(long)]
    pub init: bool,
    /// Device of the host: `SOURCE[:TARGET][:rwm]`
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Further group, by name or number
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// Kernel setting of the container's namespaces: `NAME=VALUE`
    #[arg(long, value_name = "SETTING")]
    pub sysctl: Vec<String>,
    /// Start it again: `no`, `always`, `unless-stopped` or `on-failure[:N]`
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// Command that tells whether the container is well
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Time between two health checks
    #[arg(long, value_name = "DURATION")]
    pub health_interval: Option<String>,
    /// Failures in a row that make it unhealthy
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<u32>,
    /// How long a health check may take
    #[arg(long, value_name = "DURATION")]
    pub health_timeout: Option<String>,
    /// How long failures after the start do not count
    #[arg(long, value_name = "DURATION")]
    pub health_start_period: Option<String>,
    /// Time between two health checks meanwhile
    #[arg(long, value_name = "DURATION")]
    pub health_start_interval: Option<String>,
    /// No health checks, also if the image has one
    #[arg(long)]
    pub no_healthcheck: bool,
    /// File with labels
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<PathBuf>,
    /// Where output is kept: `json-file`, `local` or `none`
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Option of it: `max-size=SIZE` or `max-file=NUMBER`
    #[arg(long, value_name = "OPTION")]
    pub log_opt: Vec<String>,
    /// Note for other programs
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Connect to `stdin`, `stdout` or `stderr` only
    #[arg(long, short, value_name = "STREAM")]
    pub attach: Vec<String>,
    /// User namespace: `host` is the only other one, and what root has anyway
    #[arg(long, value_name = "MODE")]
    pub userns: Option<String>,
    /// No progress of a pull
    #[arg(long, short)]
    pub quiet: bool,
    /// Signal that stops the container
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds until SIGKILL follows the stop signal
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<u32>,
    /// Write the container's ID to FILE
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    /// When to ask the registry: `missing`, `always` or `never`
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub pull: String,
    /// Platform to choose from a multi-platform image
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// How progress of a pull is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,
    #[command(flatten)]
    pub foreign: ForeignArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Command and its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run in the background and print the container's ID
    #[arg(long, short)]
    pub detach: bool,
    /// Keys that leave the terminal and let the container run
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Pass signals on
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub sig_proxy: bool,
    #[command(flatten)]
    pub create: CreateArgs,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    /// What to wait for: `not-running`, `next-exit` or `removed`
    #[arg(long, value_name = "CONDITION", default_value = "not-running")]
    pub condition: String,
    /// Containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CommitArgs {
    /// Who made the image
    #[arg(long, short, value_name = "NAME")]
    pub author: Option<String>,
    /// Instruction of a Dockerfile to apply: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, USER, VOLUME or WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// What was done, for the image's history
    #[arg(long, short, value_name = "TEXT")]
    pub message: Option<String>,
    /// Freeze the container meanwhile
    #[arg(long, short, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub pause: bool,
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// Keys that leave the terminal and let the container run
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Show the output and wait for the end
    #[arg(long, short)]
    pub attach: bool,
    /// Keep standard input open
    #[arg(long, short)]
    pub interactive: bool,
    /// Containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct StopArgs {
    /// Seconds until SIGKILL follows the stop signal
    #[arg(
        long,
        short,
        alias = "timeout",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub time: Option<i64>,
    /// Signal instead of the image's stop signal
    #[arg(long, short, value_name = "SIGNAL")]
    pub signal: Option<String>,
    /// Containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct KillArgs {
    /// Signal
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL")]
    pub signal: String,
    /// Containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Kill the container first when it runs
    #[arg(long, short)]
    pub force: bool,
    /// Remove its anonymous volumes too
    #[arg(long, short)]
    pub volumes: bool,
    /// Containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ContainersArgs {
    /// Containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Keep standard input open
    #[arg(long, short)]
    pub interactive: bool,
    /// Give the process a terminal
    #[arg(long, short)]
    pub tty: bool,
    /// Run in the background
    #[arg(long, short)]
    pub detach: bool,
    /// Keys that leave the terminal and let the command run
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// All capabilities and no filter
    #[arg(long)]
    pub privileged: bool,
    /// Environment variable
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// File with environment variables
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Working directory
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User, `name|uid[:group|gid]`
    #[arg(long, short, value_name = "USER")]
    pub user: Option<String>,
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Command and its arguments
    #[arg(
        required = true,
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PsArgs {
    /// Also list containers that don't run
    #[arg(long, short)]
    pub all: bool,
    /// Print IDs only
    #[arg(long, short)]
    pub quiet: bool,
    /// Don't shorten
    #[arg(long)]
    pub no_trunc: bool,
    /// Show the size of each container's own files
    #[arg(long, short)]
    pub size: bool,
    /// Only the newest containers, whether they run or not
    #[arg(long, short = 'n', value_name = "NUMBER", allow_hyphen_values = true)]
    pub last: Option<i64>,
    /// Only the newest container
    #[arg(long, short)]
    pub latest: bool,
    /// Condition: `name=`, `status=`, `label=`, `ancestor=`, `id=`, `exited=`, `health=`, `volume=`, `network=`, `publish=`,
    /// `expose=`, `before=`, `since=`
    #[arg(long, short, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// `json`, `table` or a template such as `{{.ID}} {{.Names}}`
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Go on until the container stops
    #[arg(long, short)]
    pub follow: bool,
    /// Show times
    #[arg(long, short)]
    pub timestamps: bool,
    /// Accepted for scripts: kiln's logs have no further attributes
    #[arg(long, hide = true)]
    pub details: bool,
    /// Number of lines from the end, or `all`
    #[arg(long, short = 'n', value_name = "N", default_value = "all")]
    pub tail: String,
    /// Only what came after this time, or this long ago (`10m`)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what came before this time, or this long ago
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// `json` or a template such as `{{.State.Status}}`
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
    /// `container` or `image`
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// How much containers take: `SizeRw` and `SizeRootFs`
    #[arg(long, short)]
    pub size: bool,
    /// Containers or images
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}
