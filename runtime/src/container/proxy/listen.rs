//! Binding published ports on the host.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::super::error::{Error, Result};
use super::super::ports::{BoundPort, PortMapping, Protocol};

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Tries to find a random port that is free in IPv4 and IPv6 alike.
const RANDOM_ATTEMPTS: usize = 16;

/// A socket of the host that listens for a container.
#[derive(Debug)]
pub(crate) struct Bound {
    pub socket: OwnedFd,
    pub port: BoundPort,
    /// The address that its traffic is carried to; loopback where none is known.
    pub backend: Option<IpAddr>,
}

/// Binds all mappings, or none: what was bound is released when one fails.
pub(crate) fn bind_all(mappings: &[PortMapping]) -> Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for mapping in mappings {
        bound.extend(bind_mapping(mapping)?);
    }
    Ok(bound)
}

fn bind_mapping(mapping: &PortMapping) -> Result<Vec<Bound>> {
    let addresses = mapping.listen_addresses();
    for _ in 0..RANDOM_ATTEMPTS {
        let mut bound =
            vec![bind(addresses[0], mapping).map_err(|errno| explain(addresses[0], errno))?];
        let chosen = bound[0].port.host.port();
        let Some(mut second) = addresses.get(1).copied() else {
            return Ok(bound);
        };
        second.set_port(chosen);
        match bind(second, mapping) {
            Ok(socket) => bound.push(socket),
            // No IPv6 on this host.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {}
            Err(Errno::ADDRINUSE) if mapping.host_port == 0 => continue,
            Err(errno) => return Err(explain(second, errno)),
        }
        return Ok(bound);
    }
    Err(Error::Port {
        address: addresses[0].to_string(),
        reason: "no port is free".to_owned(),
    })
}

fn bind(address: SocketAddr, mapping: &PortMapping) -> Result<Bound, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let kind = match mapping.container.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = net::socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        // Connections of an earlier run that linger must not keep the port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    net::bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        net::listen(&socket, BACKLOG)?;
    }
    let host = net::getsockname(&socket)?.try_into().unwrap_or(address);
    Ok(Bound {
        socket,
        port: BoundPort {
            host,
            container: mapping.container,
        },
        backend: None,
    })
}

fn explain(address: SocketAddr, errno: Errno) -> Error {
    let reason = match errno {
        Errno::ADDRINUSE => "port is already allocated".to_owned(),
        Errno::ACCESS => format!(
            "permission denied: ports below net.ipv4.ip_unprivileged_port_start are for root; lower it with `sysctl net.ipv4.ip_unprivileged_port_start={}`",
            address.port()
        ),
        Errno::ADDRNOTAVAIL => "the host has no such address".to_owned(),
        other => std::io::Error::from(other).to_string(),
    };
    Error::Port {
        address: address.to_string(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(text: &str) -> Vec<PortMapping> {
        PortMapping::parse(text).unwrap()
    }

    #[test]
    fn a_random_port_is_chosen_and_a_taken_one_is_named() {
        let bound = bind_all(&mapping("127.0.0.1::80")).unwrap();
        let port = bound[0].port.host.port();
        assert_ne!(port, 0);
        let error = bind_all(&mapping(&format!("127.0.0.1:{port}:81"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("bind for 127.0.0.1:{port} failed: port is already allocated")
        );
        drop(bound);
        bind_all(&mapping(&format!("127.0.0.1:{port}:81"))).unwrap();
    }

    #[test]
    fn every_address_means_both_families_with_one_port() {
        let bound = bind_all(&mapping("80")).unwrap();
        let ports: Vec<_> = bound.iter().map(|bound| bound.port.host.port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }
}
