//! The words of `EXPOSE`: ports, ranges, protocols, and the host part that has no effect there.

use std::fmt;
use std::net::IpAddr;

/// One exposed port, `80/tcp` in an image config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// The number.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.protocol.as_str())
    }
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Why a word is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not a number up to 65535, nor a range of such.
    #[error("invalid containerPort: {0}")]
    Container(String),
    /// The host part is no port.
    #[error("invalid hostPort: {0}")]
    Host(String),
    /// The address part is none.
    #[error("invalid IP address: {0}")]
    Address(String),
    /// Neither tcp, udp nor sctp.
    #[error("invalid proto: {0}")]
    Protocol(String),
    /// There is no port in the word.
    #[error("no port specified: {0}<empty>")]
    Missing(String),
    /// Host and container range differ in length.
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges {
        /// Container part.
        container: String,
        /// Host part.
        host: String,
    },
}

/// One word of `EXPOSE`, already expanded: `[[address:]host:]port[-port][/protocol]`.
///
/// # Errors
/// Fails on anything else, in the reference's words.
pub fn parse(word: &str) -> Result<Vec<Port>, PortError> {
    let (front, last) = word
        .rsplit_once(':')
        .map_or((None, word), |(front, last)| (Some(front), last));
    let (address, host) = match front {
        None => ("", ""),
        Some(front) => front.rsplit_once(':').unwrap_or(("", front)),
    };
    let (container, protocol) = last.split_once('/').unwrap_or((last, ""));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        other => return Err(PortError::Protocol(other.to_owned())),
    };
    let bare_address = address
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(address);
    if !bare_address.is_empty() && bare_address.parse::<IpAddr>().is_err() {
        return Err(PortError::Address(address.to_owned()));
    }
    if container.is_empty() {
        return Err(PortError::Missing(word.to_owned()));
    }
    let (first, end) =
        range(container).ok_or_else(|| PortError::Container(container.to_owned()))?;
    if !host.is_empty() {
        let (host_first, host_end) = range(host).ok_or_else(|| PortError::Host(host.to_owned()))?;
        if host_end - host_first != end - first && first != end {
            return Err(PortError::Ranges {
                container: container.to_owned(),
                host: host.to_owned(),
            });
        }
    }
    Ok((first..=end)
        .map(|number| Port { number, protocol })
        .collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        if text.starts_with('+') {
            None
        } else {
            text.parse::<u16>().ok()
        }
    };
    let (first, end) = match text.split_once('-') {
        None => (number(text)?, number(text)?),
        Some((first, end)) => (number(first)?, number(end)?),
    };
    (first <= end).then_some((first, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(word: &str) -> String {
        match parse(word) {
            Ok(ports) => ports
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn words_of_expose() {
        for (word, expected) in [
            ("80", "80/tcp"),
            ("80-82/UDP", "80/udp 81/udp 82/udp"),
            ("0", "0/tcp"),
            ("65535/sctp", "65535/sctp"),
            ("8080:80", "80/tcp"),
            ("127.0.0.1:8080:80/tcp", "80/tcp"),
            ("127.0.0.1::80", "80/tcp"),
            ("[::1]:8080:80", "80/tcp"),
            ("8000-8001:80", "80/tcp"),
            ("65536", "invalid containerPort: 65536"),
            ("http", "invalid containerPort: http"),
            ("82-80", "invalid containerPort: 82-80"),
            ("80/icmp", "invalid proto: icmp"),
            ("x:80", "invalid hostPort: x"),
            ("nowhere:1:80", "invalid IP address: nowhere"),
            ("/tcp", "no port specified: /tcp<empty>"),
            (
                "1-3:80-81",
                "invalid ranges specified for container and host Ports: 80-81 and 1-3",
            ),
        ] {
            assert_eq!(show(word), expected, "{word}");
        }
    }
}
