//! `kiln network`: bridges that containers are connected to.

use std::net::IpAddr;

use kiln_runtime::container::{ConnectOptions, Containers};
use kiln_runtime::network::{DEFAULT, Error, Network, NetworkOptions, Networks};
use serde_json::{Value, json};

use super::volume::has_label;
use crate::cli::{
    NetworkCommand, NetworkConnectArgs, NetworkCreateArgs, NetworkDisconnectArgs,
    NetworkInspectArgs, NetworkListArgs, NetworkPruneArgs, NetworkRemoveArgs,
};
use crate::error::CommandError;
use crate::host::{self, Host};
use crate::output;
use crate::settings::Settings;

/// The only driver.
const DRIVER: &str = "bridge";
/// What is listed as docker does though it is no network of the store: name and driver at once.
const BUILT_IN: [&str; 2] = ["host", "none"];
/// Digits of an id that people see.
const SHORT: usize = 12;

/// Runs one of the commands.
pub fn run(command: &NetworkCommand, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let networks = Networks::of(host.store.root());
    match command {
        NetworkCommand::Create(args) => create(args, &networks, settings),
        NetworkCommand::Ls(args) => list(args, &networks),
        NetworkCommand::Rm(args) => remove(args, &networks),
        NetworkCommand::Inspect(args) => inspect(args, &networks),
        NetworkCommand::Connect(args) => connect(args, &containers),
        NetworkCommand::Disconnect(args) => disconnect(args, &containers),
        NetworkCommand::Prune(args) => prune(args, &containers, &networks),
    }
}

fn create(
    args: &NetworkCreateArgs,
    networks: &Networks,
    settings: &Settings,
) -> Result<u8, CommandError> {
    if args.driver != DRIVER {
        let message = format!(
            "could not find plugin {} in v1 plugin registry",
            args.driver
        );
        return Err(CommandError::usage(message)
            .code(1)
            .hint("kiln has one driver, `bridge`"));
    }
    if let Some(option) = args.opt.first() {
        let message =
            format!("invalid option: `{option}`: networks of kiln take no driver options");
        return Err(CommandError::usage(message).code(1));
    }
    if !settings.is_root {
        let message = "networks need root: an unprivileged user can have no bridges";
        return Err(CommandError::usage(message).code(1).hint(
            "`-p` publishes ports of containers, `--network host` leaves one on the host's network",
        ));
    }
    let options = NetworkOptions {
        subnets: args.subnet.clone(),
        gateways: args.gateway.clone(),
        ranges: args.ip_range.clone(),
        internal: args.internal,
        ipv6: args.ipv6,
        labels: super::pairs(&args.label, "--label")?,
    };
    let network = networks.create(&args.name, &options)?;
    output::data(&format!("{}\n", network.id))?;
    Ok(0)
}

fn list(args: &NetworkListArgs, networks: &Networks) -> Result<u8, CommandError> {
    let filters = Filter::parse_all(&args.filter)?;
    let mut all = networks.list()?;
    if !all.iter().any(|network| network.name == DEFAULT) {
        all.insert(0, networks.find(DEFAULT)?);
    }
    let id = |id: &str| match args.no_trunc {
        true => id.to_owned(),
        false => id.chars().take(SHORT).collect(),
    };
    let mut rows: Vec<Value> = all
        .iter()
        .filter(|network| filters.iter().all(|filter| filter.matches(network)))
        .map(|network| {
            let labels = network.labels.iter();
            let labels: Vec<_> = labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            json!({
                "ID": id(&network.id),
                "Name": network.name,
                "Driver": DRIVER,
                "Scope": "local",
                "IPv6": network.ipv6.to_string(),
                "Internal": network.internal.to_string(),
                "Labels": labels.join(","),
                "CreatedAt": network.created.rfc3339(),
            })
        })
        .collect();
    if filters.is_empty() {
        rows.extend(BUILT_IN.iter().map(|name| built_in(name)));
        rows.sort_by_key(|row| row["Name"].as_str().unwrap_or_default().to_owned());
    }
    if args.quiet {
        return super::print_rows(Some("{{.ID}}"), &[], &rows);
    }
    let columns = [
        ("NETWORK ID", "ID"),
        ("NAME", "Name"),
        ("DRIVER", "Driver"),
        ("SCOPE", "Scope"),
    ];
    super::print_rows(args.format.as_deref(), &columns, &rows)
}

fn built_in(name: &str) -> Value {
    json!({
        "ID": name,
        "Name": name,
        "Driver": if name == "none" { "null" } else { name },
        "Scope": "local",
        "IPv6": "false",
        "Internal": "false",
        "Labels": "",
        "CreatedAt": "",
    })
}

fn remove(args: &NetworkRemoveArgs, networks: &Networks) -> Result<u8, CommandError> {
    let mut code = 0;
    for name in &args.networks {
        let removed = match BUILT_IN.contains(&name.as_str()) {
            true => Err(Error::Invalid(format!(
                "{name} is a pre-defined network and cannot be removed"
            ))),
            false => networks
                .find(name)
                .and_then(|network| networks.remove(&network.name)),
        };
        match removed {
            Ok(()) => output::data(&format!("{name}\n"))?,
            Err(Error::NotFound(_)) if args.force => {}
            Err(error) => {
                let _ = CommandError::from(error).report();
                code = 1;
            }
        }
    }
    Ok(code)
}

fn inspect(args: &NetworkInspectArgs, networks: &Networks) -> Result<u8, CommandError> {
    let found = args
        .networks
        .iter()
        .map(|name| Ok(networks.inspect(&networks.find(name)?)?));
    super::inspect::print(args.format.as_deref(), found)
}

fn connect(args: &NetworkConnectArgs, containers: &Containers) -> Result<u8, CommandError> {
    let container = containers.find(&args.container)?;
    let options = ConnectOptions {
        aliases: args.alias.clone(),
        ipv4: args.ip,
        ipv6: args.ip6,
    };
    let resolvers: Vec<IpAddr> = host::name_files()?.name_servers();
    containers.connect(&args.network, &container, &options, &resolvers)?;
    Ok(0)
}

fn disconnect(args: &NetworkDisconnectArgs, containers: &Containers) -> Result<u8, CommandError> {
    let container = containers.find(&args.container)?;
    containers.disconnect(&args.network, &container)?;
    Ok(0)
}

fn prune(
    args: &NetworkPruneArgs,
    containers: &Containers,
    networks: &Networks,
) -> Result<u8, CommandError> {
    let filters = Filter::parse_all(&args.filter)?;
    let used = containers.used_networks()?;
    let mut removed = Vec::new();
    for network in networks.list()? {
        let wanted = filters.iter().all(|filter| filter.matches(&network));
        let default = network.name == DEFAULT;
        if !wanted || used.contains(&network.name) || (default && !args.all) {
            continue;
        }
        match networks.take_down(&network.name) {
            Ok(()) => removed.push(network.name),
            // A build uses it at this moment, or somebody else removed it.
            Err(Error::Invalid(_) | Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !removed.is_empty() {
        let text = format!("Deleted Networks:\n{}\n\n", removed.join("\n"));
        output::data(&text)?;
    }
    Ok(0)
}

/// One condition of `--filter`.
enum Filter {
    Driver(String),
    Id(String),
    Label { text: String, wanted: bool },
    Name(String),
}

impl Filter {
    fn parse_all(texts: &[String]) -> Result<Vec<Self>, CommandError> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    fn parse(text: &str) -> Result<Self, CommandError> {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            CommandError::usage(format!(
                "bad format of filter `{text}`: KEY=VALUE is expected"
            ))
        })?;
        let value = value.to_owned();
        match key {
            "driver" => Ok(Self::Driver(value)),
            "id" => Ok(Self::Id(value)),
            "label" | "label!" => Ok(Self::Label {
                text: value,
                wanted: key == "label",
            }),
            "name" => Ok(Self::Name(value)),
            other => Err(CommandError::usage(format!("invalid filter `{other}`"))
                .hint("`driver`, `id`, `label` and `name` exist")),
        }
    }

    fn matches(&self, network: &Network) -> bool {
        match self {
            Self::Driver(driver) => driver == DRIVER,
            Self::Id(part) => network.id.starts_with(part.as_str()),
            Self::Label { text, wanted } => *wanted == has_label(&network.labels, text),
            Self::Name(part) => network.name.contains(part.as_str()),
        }
    }
}
