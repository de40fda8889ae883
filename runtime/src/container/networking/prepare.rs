//! Setting a container's network up, in the command that starts it: only there the host is in sight.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::Connections;
use crate::container::Containers;
use crate::container::config::{Config, NetworkMode};
use crate::container::containers::Container;
use crate::container::error::{Context, Error, Result};
use crate::container::name_files::{HostFiles, name_servers};
use crate::network::{self, Attached, Who, attach};
use crate::probe;

/// What the monitor is told of the network. Its descriptors: the namespace, the lock of each endpoint, and with a resolver its
/// two sockets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NetworkRequest {
    /// Whether there is a namespace to run in.
    pub namespace: bool,
    /// Whether pasta carries what it sends; the lifeline comes after the namespace.
    #[serde(default)]
    pub carried: bool,
    /// The networks that it is connected to.
    pub networks: Vec<String>,
    /// Name servers to ask for names that no container has; absent where there is no resolver.
    pub upstreams: Option<Vec<IpAddr>>,
}

/// A network that is set up.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// For the monitor.
    pub request: NetworkRequest,
    /// The same.
    pub descriptors: Vec<OwnedFd>,
    /// The container's addresses; those of its first network come first.
    pub addresses: Vec<IpAddr>,
    /// The host as the container sees it.
    pub gateway: Option<IpAddr>,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// Sets up the network that a container asks for. Where this machine has no bridges, one that asks for nothing special has a
/// namespace of its own with its published ports.
pub(crate) fn prepare(
    containers: &Containers,
    container: &Container,
    files: &HostFiles,
) -> Result<Prepared> {
    let config = container.config();
    match config.network {
        NetworkMode::None | NetworkMode::Host | NetworkMode::Private => Ok(Prepared::default()),
        NetworkMode::Container => join(containers, config),
        NetworkMode::Default | NetworkMode::Networks => {
            let connections = Connections::read(&container.directory, config)?;
            match connect(container.root(), config, &connections, files) {
                Err(Error::Network(network::Error::Unavailable(reason)))
                    if config.network == NetworkMode::Default =>
                {
                    if probe::in_user_namespace() {
                        return carry();
                    }
                    Ok(Prepared {
                        notices: vec![format!(
                            "the container has loopback and its published ports only: {reason}"
                        )],
                        ..Prepared::default()
                    })
                }
                other => other,
            }
        }
    }
}

/// A namespace that pasta carries, or one with loopback alone where it does not work.
fn carry() -> Result<Prepared> {
    match network::Carried::create() {
        Ok(carried) => Ok(Prepared {
            request: NetworkRequest {
                namespace: true,
                carried: true,
                ..NetworkRequest::default()
            },
            descriptors: vec![carried.namespace, carried.lifeline],
            ..Prepared::default()
        }),
        Err(reason) => Ok(Prepared {
            notices: vec![format!(
                "the container has loopback and its published ports only: {reason}"
            )],
            ..Prepared::default()
        }),
    }
}

fn connect(
    root: &Path,
    config: &Config,
    connections: &Connections,
    files: &HostFiles,
) -> Result<Prepared> {
    if probe::in_user_namespace() {
        return Err(Error::Network(network::Error::Unavailable(
            "bridges need root".to_owned(),
        )));
    }
    let servers = name_servers(&files.resolv_conf);
    let who = Who {
        id: config.id.as_str(),
        name: &config.name,
    };
    let attached = attach(root, who, &connections.0, true, &servers)?;
    let upstreams = if config.dns.servers.is_empty() {
        servers
    } else {
        let servers = config.dns.servers.iter();
        servers.filter_map(|server| server.parse().ok()).collect()
    };
    prepared(attached, upstreams)
}

fn prepared(attached: Attached, upstreams: Vec<IpAddr>) -> Result<Prepared> {
    let Attached {
        namespace,
        resolver,
        leases,
        gateway,
    } = attached;
    let addresses = leases.iter().flat_map(|lease| lease.endpoint.addresses());
    let mut prepared = Prepared {
        addresses: addresses.collect(),
        gateway,
        ..Prepared::default()
    };
    prepared.request = NetworkRequest {
        namespace: true,
        carried: false,
        networks: leases.iter().map(|lease| lease.network.clone()).collect(),
        upstreams: resolver.is_some().then_some(upstreams),
    };
    prepared.descriptors.push(namespace.descriptor);
    prepared
        .descriptors
        .extend(leases.into_iter().map(network::Lease::into_lock));
    if let Some(sockets) = resolver {
        prepared.descriptors.extend([sockets.udp, sockets.tcp]);
    }
    Ok(prepared)
}

/// The namespace of another container.
fn join(containers: &Containers, config: &Config) -> Result<Prepared> {
    let name = config.network_container.as_deref().unwrap_or_default();
    let other = containers.find(name)?;
    let mut addresses = Vec::new();
    for (_, endpoint) in network::Networks::of(other.root()).endpoints_of(other.id().as_str())? {
        addresses.extend(endpoint.addresses());
    }
    Ok(Prepared {
        request: NetworkRequest {
            namespace: true,
            ..NetworkRequest::default()
        },
        descriptors: vec![namespace_of(&other)?],
        addresses,
        ..Prepared::default()
    })
}

/// The network namespace of a running container.
pub(crate) fn namespace_of(container: &Container) -> Result<OwnedFd> {
    let not_running = || {
        Error::Invalid(format!(
            "cannot join network of a non running container: {}",
            container.id()
        ))
    };
    let state = container.state()?;
    let init = state.init.ok_or_else(not_running)?;
    let pid = Pid::from_raw(init.pid).ok_or_else(not_running)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| not_running())?;
    if let Some(inode) = init.pidfd_inode {
        let found = rustix::fs::fstat(&pidfd).context(|| "looking at a process".to_owned())?;
        if found.st_ino != inode {
            return Err(not_running());
        }
    }
    let path = format!("/proc/{}/ns/net", init.pid);
    let opened = rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    if let Err(Errno::ACCESS | Errno::PERM) = opened {
        return Err(Error::Invalid(format!(
            "cannot join the network of container {}: without root every container has a user namespace of its own, whose \
             network others cannot enter; publish a port of it instead (`-p`)",
            container.name()
        )));
    }
    let namespace =
        opened.context(|| format!("opening the network of container {}", container.name()))?;
    // The number was not given to another process meanwhile if this one is still there. No signal is sent.
    let alive = crate::sys::process::send_signal(std::os::fd::AsFd::as_fd(&pidfd), 0).is_ok();
    if alive {
        Ok(namespace)
    } else {
        Err(not_running())
    }
}
