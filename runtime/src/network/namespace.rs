//! Network namespaces, made by a thread that ends up in nobody's way.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};

use super::device::Inside;
use super::error::{Context, Error, Result};
use super::netlink::Socket;
use super::rules::{Chain, Hook, Match, Rule, Table, Verdict};
use crate::container::Protocol;
use crate::sys;

/// Where containers ask for names: docker's.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The settings that Docker gives a network namespace: all ports and ping for everybody.
const SETTINGS: [(&str, &str); 2] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
];
/// The port of name servers.
const DNS_PORT: u16 = 53;
/// Questions over connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// A network namespace with loopback up.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// The namespace; it lives as long as somebody has it open or runs in it.
    pub descriptor: OwnedFd,
    /// Its devices and addresses.
    route: Socket,
}

/// Sockets inside a namespace on which names are asked for.
#[derive(Debug)]
pub(crate) struct ResolverSockets {
    /// For datagrams.
    pub udp: OwnedFd,
    /// For connections.
    pub tcp: OwnedFd,
}

/// What a device inside gets.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// Addresses with the lengths of their subnets.
    pub own: Vec<(IpAddr, u8)>,
    /// Where all else is sent.
    pub gateways: Vec<IpAddr>,
}

impl Namespace {
    /// Makes a namespace, with sockets for names if `resolver` says so.
    pub(crate) fn create(resolver: bool) -> Result<(Self, Option<ResolverSockets>)> {
        in_thread(move || {
            sys::process::unshare(libc::CLONE_NEWNET)
                .context(|| "making a network namespace".to_owned())?;
            Self::current(resolver)
        })
    }

    /// A namespace that exists.
    pub(crate) fn enter(descriptor: OwnedFd) -> Result<Self> {
        in_thread(move || {
            sys::process::join_namespaces(descriptor.as_fd(), libc::CLONE_NEWNET)
                .context(|| "entering a network namespace".to_owned())?;
            let route = route_socket()?;
            Ok(Self { descriptor, route })
        })
    }

    fn current(resolver: bool) -> Result<(Self, Option<ResolverSockets>)> {
        let descriptor = File::open("/proc/thread-self/ns/net")
            .context(|| "opening a network namespace".to_owned())?
            .into();
        let mut route = route_socket()?;
        /// The number of `lo` in every namespace.
        const LOOPBACK: u32 = 1;
        match route.set_up(LOOPBACK) {
            // Root of an outer container that may make namespaces, but nothing in them.
            Err(Errno::PERM) => {
                return Err(Error::Unavailable("CAP_NET_ADMIN is missing".to_owned()));
            }
            set => set.context(|| "bringing loopback up".to_owned())?,
        }
        for (setting, value) in SETTINGS {
            match std::fs::write(setting, value) {
                // Read-only in an outer container: what is not allowed there is not allowed here.
                Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // A user namespace with fewer ids than the value names keeps its default.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                other => other.context(|| format!("writing {setting}"))?,
            }
        }
        let sockets = if resolver {
            Some(resolver_sockets().context(|| format!("listening on {RESOLVER}"))?)
        } else {
            None
        };
        Ok((Self { descriptor, route }, sockets))
    }

    /// Connects the namespace to the bridge with number `bridge`: `outer` is the name of the bridge's port.
    pub(crate) fn connect(
        &mut self,
        host: &mut Socket,
        bridge: u32,
        outer: &str,
        inner: &str,
        mac: [u8; 6],
        addresses: &Addresses,
    ) -> Result<()> {
        let describe = || format!("connecting a network namespace by {outer}");
        let inside = Inside {
            namespace: self.descriptor.as_fd(),
            name: inner,
            mac,
        };
        host.add_pair(outer, bridge, inside).context(describe)?;
        let device = self.route.device(inner).context(describe)?;
        let index = device.ok_or(Errno::NODEV).context(describe)?.index;
        self.route.set_up(index).context(describe)?;
        for &(address, prefix) in &addresses.own {
            self.route
                .add_address(index, address, prefix)
                .context(|| format!("giving {inner} the address {address}"))?;
        }
        for &gateway in &addresses.gateways {
            self.route
                .add_default_route(index, gateway)
                .context(|| format!("routing by {gateway}"))?;
        }
        Ok(())
    }

    /// Takes the device of this name out, waiting until it is gone. One that is not there is fine.
    pub(crate) fn disconnect(&mut self, inner: &str) -> Result<()> {
        let describe = || format!("removing {inner}");
        match self.route.device(inner).context(describe)? {
            Some(device) => self.route.remove_device(device.index).context(describe),
            None => Ok(()),
        }
    }

    /// Sends all that has no other way by a device to the host's addresses there.
    pub(crate) fn route(
        &mut self,
        inner: &str,
        gateways: impl Iterator<Item = IpAddr>,
    ) -> Result<()> {
        let describe = || format!("routing by {inner}");
        if let Some(device) = self.route.device(inner).context(describe)? {
            for gateway in gateways {
                let routed = self.route.add_default_route(device.index, gateway);
                routed.context(describe)?;
            }
        }
        Ok(())
    }

    /// Whether packets to anywhere have a way.
    pub(crate) fn has_default_route(&mut self) -> Result<bool> {
        let describe = || "looking at the routes of a network namespace".to_owned();
        self.route.has_default_route().context(describe)
    }

    /// A name for a further device: `eth0`, `eth1`, ...
    pub(crate) fn free_name(&mut self) -> Result<String> {
        let devices = self
            .route
            .devices()
            .context(|| "listing the devices of a container".to_owned())?;
        let free = (0..).map(|number: u32| format!("eth{number}"));
        let mut free = free.filter(|name| !devices.iter().any(|device| device.name == *name));
        free.next()
            .ok_or_else(|| Error::Invalid("no name is free for a further device".to_owned()))
    }
}

fn route_socket() -> Result<Socket> {
    Socket::route().context(|| "opening a netlink socket".to_owned())
}

/// Sockets on ports that the kernel chooses, so that the container's own name server can have port 53 of every address; what is sent
/// to that port of the resolver's address is redirected.
fn resolver_sockets() -> Result<ResolverSockets, Errno> {
    let address = SocketAddr::from((RESOLVER, 0));
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let udp = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    bind(&udp, &address)?;
    let tcp = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&tcp, &address)?;
    listen(&tcp, BACKLOG)?;
    let redirect = |socket: &OwnedFd, protocol| {
        let to = getsockname(socket)?.try_into()?;
        Ok(Rule {
            matches: vec![
                Match::Destination(RESOLVER.into()),
                Match::Port(protocol, DNS_PORT),
            ],
            verdict: Verdict::Redirect(to),
        })
    };
    let rules: Result<Vec<Rule>, Errno> = [(&udp, Protocol::Udp), (&tcp, Protocol::Tcp)]
        .into_iter()
        .map(|(socket, protocol)| redirect(socket, protocol))
        .collect();
    Table::open()?.replace(&[Chain {
        name: "resolver".to_owned(),
        hook: Hook::Output,
        rules: rules?,
    }])?;
    Ok(ResolverSockets { udp, tcp })
}

/// Runs `work` in a thread of its own: a namespace is a property of threads, and this one's does not come back.
pub(crate) fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let thread = std::thread::Builder::new()
        .name("network".to_owned())
        .spawn(work)
        .context(|| "starting a thread".to_owned())?;
    match thread.join() {
        Ok(result) => result,
        Err(_) => Err(Error::Invalid(
            "making a network namespace ended unexpectedly".to_owned(),
        )),
    }
}
