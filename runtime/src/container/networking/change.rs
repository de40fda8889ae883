//! `network connect` and `disconnect`: for a container that runs at once, for any other at its next start.

use std::net::IpAddr;
use std::os::fd::AsFd;

use super::prepare::namespace_of;
use super::{Connections, asked};
use crate::container::Containers;
use crate::container::config::NetworkMode;
use crate::container::containers::Container;
use crate::container::control::Request;
use crate::container::error::{Error, Result};
use crate::container::own_files;
use crate::container::state::Status;
use crate::network::{Kernel, Namespace, Networks, Who, Wish, connect};

/// How a container is to be connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Further names on the network.
    pub aliases: Vec<String>,
    /// `--ip`.
    pub ipv4: Option<std::net::Ipv4Addr>,
    /// `--ip6`.
    pub ipv6: Option<std::net::Ipv6Addr>,
}

impl Containers {
    /// Connects a container to a further network. `resolvers` are the host's name servers.
    pub fn connect(
        &self,
        network: &str,
        container: &Container,
        options: &ConnectOptions,
        resolvers: &[IpAddr],
    ) -> Result<()> {
        let network = Networks::of(container.root()).find(network)?;
        for alias in &options.aliases {
            asked::check_name(alias, "network alias")?;
        }
        check_mode(container)?;
        let mut connections = Connections::read(&container.directory, container.config())?;
        if connections.0.iter().any(|one| one.network == network.name) {
            return Err(Error::Invalid(format!(
                "endpoint with name {} already exists in network {}",
                container.name(),
                network.name
            )));
        }
        let wish = Wish {
            network: network.name,
            aliases: options.aliases.clone(),
            ipv4: options.ipv4,
            ipv6: options.ipv6,
        };
        if container.state()?.status == Status::Running {
            plug(container, &wish, resolvers)?;
        }
        connections.0.push(wish);
        connections.write(&container.directory)
    }

    /// Disconnects a container from a network.
    pub fn disconnect(&self, network: &str, container: &Container) -> Result<()> {
        let network = Networks::of(container.root()).find(network)?;
        check_mode(container)?;
        let mut connections = Connections::read(&container.directory, container.config())?;
        let before = connections.0.len();
        connections.0.retain(|one| one.network != network.name);
        if connections.0.len() == before {
            return Err(Error::Invalid(format!(
                "container {} is not connected to network {}",
                container.id(),
                network.name
            )));
        }
        if container.state()?.status == Status::Running {
            unplug(container, &network.name)?;
        }
        connections.write(&container.directory)
    }

    /// Networks that some container is connected to, running or not.
    pub fn used_networks(&self) -> Result<Vec<String>> {
        let mut used = Vec::new();
        for container in self.list()? {
            let connections = Connections::read(&container.directory, container.config())?;
            used.extend(connections.0.into_iter().map(|one| one.network));
        }
        Ok(used)
    }
}

fn check_mode(container: &Container) -> Result<()> {
    let what = match container.config().network {
        NetworkMode::Default | NetworkMode::Networks => return Ok(()),
        NetworkMode::Host => "the host's network",
        NetworkMode::None | NetworkMode::Private => "no network but loopback",
        NetworkMode::Container => "the network of another container",
    };
    Err(Error::Invalid(format!(
        "container {} has {what}: it cannot be connected to or disconnected from networks",
        container.name()
    )))
}

fn plug(container: &Container, wish: &Wish, resolvers: &[IpAddr]) -> Result<()> {
    let mut namespace = Namespace::enter(namespace_of(container)?)?;
    let mut kernel = Kernel::open()?;
    let who = Who {
        id: container.id().as_str(),
        name: container.name(),
    };
    let root = container.root();
    let (lease, _) = connect(root, who, wish, &mut namespace, &mut kernel, resolvers)?;
    let addresses: Vec<IpAddr> = lease.endpoint.addresses().collect();
    let lock = lease.into_lock();
    container.change_network(&Request::Connect(wish.network.clone()), &[lock.as_fd()])?;
    own_files::add_addresses(
        &container.directory,
        &addresses,
        &container.config().hostname,
    )
}

fn unplug(container: &Container, network: &str) -> Result<()> {
    let networks = Networks::of(container.root());
    let all = networks.endpoints_of(container.id().as_str())?;
    let mut namespace = Namespace::enter(namespace_of(container)?)?;
    if let Some((_, endpoint)) = all.iter().find(|(one, _)| one.name == network) {
        namespace.disconnect(&endpoint.device)?;
    }
    // The way outside may have led through it.
    for (other, endpoint) in all
        .iter()
        .filter(|(one, _)| one.name != network && !one.internal)
    {
        let gateways = other.subnets.iter().map(|subnet| subnet.gateway);
        namespace.route(&endpoint.device, gateways)?;
    }
    container.change_network(&Request::Disconnect(network.to_owned()), &[])?;
    let gone = all.iter().filter(|(one, _)| one.name == network);
    let gone: Vec<IpAddr> = gone
        .flat_map(|(_, endpoint)| endpoint.addresses())
        .collect();
    own_files::remove_addresses(&container.directory, &gone, &container.config().hostname)
}
