//! `kiln network`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct NetworkArgs {
    #[command(subcommand)]
    pub command: NetworkCommand,
}

#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Create a network
    Create(NetworkCreateArgs),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(NetworkListArgs),
    /// Remove networks that no running container is connected to
    #[command(visible_alias = "remove")]
    Rm(NetworkRemoveArgs),
    /// Print everything known about networks, as JSON
    Inspect(NetworkInspectArgs),
    /// Connect a container to a network
    Connect(NetworkConnectArgs),
    /// Disconnect a container from a network
    Disconnect(NetworkDisconnectArgs),
    /// Remove the networks that no container is connected to
    Prune(NetworkPruneArgs),
}

#[derive(Debug, Args)]
pub struct NetworkCreateArgs {
    /// Driver: `bridge` is the only one
    #[arg(long, short, value_name = "DRIVER", default_value = "bridge")]
    pub driver: String,
    /// Driver option; `bridge` has none
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
    /// Subnet, such as 10.1.2.0/24; a free one when missing
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Vec<String>,
    /// Address of the host in the subnet
    #[arg(long, value_name = "IP")]
    pub gateway: Vec<String>,
    /// Part of the subnet that addresses are given out of
    #[arg(long, value_name = "SUBNET")]
    pub ip_range: Vec<String>,
    /// Let nothing out of the network
    #[arg(long)]
    pub internal: bool,
    /// Give IPv6 addresses; on unless the machine has no IPv6
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv6: Option<bool>,
    /// Label
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Accepted for scripts: only swarms have such networks
    #[arg(long, hide = true)]
    pub attachable: bool,
    /// Name
    #[arg(value_name = "NETWORK")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct NetworkListArgs {
    /// Condition: `driver=`, `id=`, `label=`, `name=`
    #[arg(long, short, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// `json`, `table` or a template such as `{{.Name}}`
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct NetworkRemoveArgs {
    /// A network that does not exist is fine
    #[arg(long, short)]
    pub force: bool,
    /// Networks
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NetworkInspectArgs {
    /// `json` or a template such as `{{.Driver}}`
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Networks
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NetworkConnectArgs {
    /// Further name of the container on the network
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// IPv4 address
    #[arg(long, value_name = "IP")]
    pub ip: Option<std::net::Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "IP")]
    pub ip6: Option<std::net::Ipv6Addr>,
    /// Network
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
pub struct NetworkDisconnectArgs {
    /// Accepted for scripts
    #[arg(long, short)]
    pub force: bool,
    /// Network
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// Container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
pub struct NetworkPruneArgs {
    /// Condition: `label=`, `label!=`
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Also the bridge of the default network, which comes back with its next container
    #[arg(long, short)]
    pub all: bool,
    /// Accepted for scripts: kiln does not ask
    #[arg(long, short)]
    pub force: bool,
}
