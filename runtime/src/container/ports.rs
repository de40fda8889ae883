//! Published ports: docker's `-p` notation, read into plain values.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// Transport protocol of a port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Streams.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(Error::Invalid(format!(
                "Invalid proto: {text}: tcp and udp can be published"
            ))),
        }
    }
}

/// A port inside a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerPort {
    /// Its number.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl fmt::Display for ContainerPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.protocol)
    }
}

impl FromStr for ContainerPort {
    type Err = Error;

    /// Reads `80`, `80/tcp` or `53/udp`.
    fn from_str(text: &str) -> Result<Self> {
        let (number, protocol) = split_protocol(text)?;
        Ok(Self {
            number: port(number, text)?,
            protocol,
        })
    }
}

/// One port of a container to publish on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Host address; `None` publishes on every address.
    pub host_ip: Option<IpAddr>,
    /// Host port; 0 lets the kernel choose one at every start.
    pub host_port: u16,
    /// The port inside.
    pub container: ContainerPort,
}

impl PortMapping {
    /// Reads one `-p` value: `[ip:][host[-last]:]container[-last][/protocol]`; a range gives several mappings.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let invalid =
            |reason: &str| Error::Invalid(format!("invalid port mapping `{text}`: {reason}"));
        let (address, protocol) = split_protocol(text)?;
        let (rest, inner) = address
            .rsplit_once(':')
            .map_or((None, address), |(rest, inner)| (Some(rest), inner));
        let inner = range(inner, text)?;
        let (ip, outer) = match rest {
            None => (None, ""),
            Some(rest) => match rest.rsplit_once(':') {
                Some((ip, outer)) => (Some(ip), outer),
                None => (None, rest),
            },
        };
        let host_ip = match ip {
            None | Some("") => None,
            Some(ip) => {
                let bare = ip
                    .strip_prefix('[')
                    .and_then(|ip| ip.strip_suffix(']'))
                    .unwrap_or(ip);
                Some(
                    bare.parse::<IpAddr>()
                        .map_err(|_| invalid("the address is not an IP address"))?,
                )
            }
        };
        let count = u32::from(inner.1 - inner.0);
        let host_port = |offset: u32| -> Result<u16> {
            if outer.is_empty() || outer == "0" {
                return Ok(0);
            }
            let outer = range(outer, text)?;
            let width = u32::from(outer.1 - outer.0);
            if width == count {
                u16::try_from(u32::from(outer.0) + offset)
                    .map_err(|_| invalid("the range ends above 65535"))
            } else if count == 0 {
                Err(invalid(
                    "a range of host ports for one container port is not supported; name one host port, or none for a random one",
                ))
            } else {
                Err(invalid("the ranges differ in length"))
            }
        };
        (0..=count)
            .map(|offset| {
                let number = u16::try_from(u32::from(inner.0) + offset)
                    .map_err(|_| invalid("the range ends above 65535"))?;
                Ok(Self {
                    host_ip,
                    host_port: host_port(offset)?,
                    container: ContainerPort { number, protocol },
                })
            })
            .collect()
    }

    /// The addresses to listen on, in order; the second is tried only where the host has IPv6.
    pub fn listen_addresses(&self) -> Vec<SocketAddr> {
        match self.host_ip {
            Some(ip) => vec![SocketAddr::new(ip, self.host_port)],
            None => {
                vec![
                    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.host_port),
                    SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), self.host_port),
                ]
            }
        }
    }
}

/// A published port of a running container: where it really listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPort {
    /// Address and port on the host.
    pub host: SocketAddr,
    /// The port inside.
    pub container: ContainerPort,
}

fn split_protocol(text: &str) -> Result<(&str, Protocol)> {
    match text.split_once('/') {
        Some((address, protocol)) => Ok((address, protocol.parse()?)),
        None => Ok((text, Protocol::Tcp)),
    }
}

fn range(text: &str, whole: &str) -> Result<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first, whole)?, port(last, whole)?);
    if first <= last {
        Ok((first, last))
    } else {
        Err(Error::Invalid(format!(
            "invalid port mapping `{whole}`: the range `{text}` runs backwards"
        )))
    }
}

fn port(text: &str, whole: &str) -> Result<u16> {
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Error::Invalid(format!(
            "invalid port mapping `{whole}`: `{text}` is not a port from 1 to 65535"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, u16, u16, Protocol)]) {
        let found: Vec<_> = PortMapping::parse(text)
            .unwrap()
            .iter()
            .map(|mapping| {
                (
                    mapping.host_ip.map_or(String::new(), |ip| ip.to_string()),
                    mapping.host_port,
                    mapping.container.number,
                    mapping.container.protocol,
                )
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|&(ip, host, inner, protocol)| (ip.to_owned(), host, inner, protocol))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_form_of_publishing() {
        use Protocol::{Tcp, Udp};
        check("80", &[("", 0, 80, Tcp)]);
        check("8080:80", &[("", 8080, 80, Tcp)]);
        check("8080:80/udp", &[("", 8080, 80, Udp)]);
        check("127.0.0.1:8080:80", &[("127.0.0.1", 8080, 80, Tcp)]);
        check("127.0.0.1::80", &[("127.0.0.1", 0, 80, Tcp)]);
        check("[::1]:8080:80/TCP", &[("::1", 8080, 80, Tcp)]);
        check(":80", &[("", 0, 80, Tcp)]);
        check(
            "8000-8001:9000-9001",
            &[("", 8000, 9000, Tcp), ("", 8001, 9001, Tcp)],
        );
        check("7000-7001", &[("", 0, 7000, Tcp), ("", 0, 7001, Tcp)]);
        check("65535:65535", &[("", 65535, 65535, Tcp)]);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (text, reason) in [
            ("http", "`http` is not a port"),
            ("0:0", "`0` is not a port"),
            ("1-2:3", "one container port"),
            ("1-3:4-5", "differ in length"),
            ("5-4", "backwards"),
            ("80/sctp", "Invalid proto: sctp"),
            ("host:1:2", "not an IP address"),
            ("70000:1", "from 1 to 65535"),
        ] {
            let error = PortMapping::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
