//! `/etc/hosts` and `/etc/resolv.conf` of a container.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::config::{Config, DnsConfig, NetworkMode};
use super::error::{Error, Result};
use super::networking::Prepared;
use crate::network::RESOLVER;

/// What the host says in its own files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFiles {
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/resolv.conf`; where that names a resolver on loopback, better the file with the real ones.
    pub resolv_conf: String,
}

impl HostFiles {
    /// The host's name servers.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        name_servers(&self.resolv_conf)
    }
}

/// The lines that every container has.
const STANDARD_HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
/// What stands for `host-gateway` in `--add-host`: the host as the container sees it.
const HOST_GATEWAY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
/// Where a container without addresses finds itself, as on Debian.
const OWN_ADDRESS: &str = "127.0.1.1";

/// The container's `/etc/hosts`.
pub(crate) fn hosts(config: &Config, host: &HostFiles, network: &Prepared) -> String {
    let mut text = if config.network == NetworkMode::Host {
        host.hosts.clone()
    } else {
        STANDARD_HOSTS.to_owned()
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, address) in &config.extra_hosts {
        let address = match address {
            // The host as it is seen from here; without a network that is loopback, where nothing of the host is.
            IpAddr::V4(HOST_GATEWAY) => network.gateway.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            other => *other,
        };
        let _ = writeln!(text, "{address}\t{name}");
    }
    for address in &network.addresses {
        let _ = writeln!(text, "{address}\t{}", config.hostname);
    }
    if config.network != NetworkMode::Host && network.addresses.is_empty() {
        let _ = writeln!(text, "{OWN_ADDRESS}\t{}", config.hostname);
    }
    text
}

/// The name servers of a `resolv.conf`.
pub(crate) fn name_servers(resolv_conf: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        // The zone of a link-local address is of no use to another program.
        let address = words.by_ref().take(2).collect::<Vec<_>>();
        match address[..] {
            ["nameserver", address] => address.parse().ok(),
            _ => None,
        }
    };
    resolv_conf.lines().filter_map(server).collect()
}

/// The container's `/etc/resolv.conf`: the host's, with what the command line says in its place.
/// With `resolver` names are asked of the container's own name server, which asks those servers.
pub(crate) fn resolv_conf(config: &Config, host: &HostFiles, resolver: bool) -> String {
    let DnsConfig {
        servers,
        search,
        options,
    } = &config.dns;
    let own = [RESOLVER.to_string()];
    let servers = if resolver { &own[..] } else { &servers[..] };
    let mut text = String::new();
    for line in host.resolv_conf.lines() {
        let mut words = line.split_whitespace();
        let keep = match words.next() {
            Some("nameserver") => servers.is_empty(),
            Some("search" | "domain") => search.is_empty(),
            Some("options") => options.is_empty(),
            _ => true,
        };
        if keep {
            text.push_str(line);
            text.push('\n');
        }
    }
    // `--dns-search .` means none.
    let search: Vec<&str> = search
        .iter()
        .map(String::as_str)
        .filter(|name| *name != ".")
        .collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// Reads one `--add-host name:address` (or `name=address`).
pub(crate) fn parse_extra_host(text: &str) -> Result<(String, IpAddr)> {
    let invalid = || {
        Error::Invalid(format!(
            "bad format for add-host: \"{text}\": name:address is expected"
        ))
    };
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(invalid)?;
    let bare = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'))
        .unwrap_or(address);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(invalid());
    }
    if bare == "host-gateway" {
        return Ok((name.to_owned(), HOST_GATEWAY.into()));
    }
    Ok((
        name.to_owned(),
        bare.parse().map_err(|_| {
            Error::Invalid(format!("invalid IP address in add-host: \"{address}\""))
        })?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::tests::sample;

    #[test]
    fn hosts_name_the_container_and_what_was_added() {
        let mut config = sample();
        config.extra_hosts = vec![
            parse_extra_host("db:10.0.0.2").unwrap(),
            parse_extra_host("six=[::2]").unwrap(),
        ];
        let text = hosts(&config, &HostFiles::default(), &Prepared::default());
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(
            text.ends_with("10.0.0.2\tdb\n::2\tsix\n127.0.1.1\tbox\n"),
            "{text}"
        );
        config.network = NetworkMode::Host;
        let host = HostFiles {
            hosts: "127.0.0.1 localhost myhost".to_owned(),
            ..HostFiles::default()
        };
        assert_eq!(
            hosts(&config, &host, &Prepared::default()),
            "127.0.0.1 localhost myhost\n10.0.0.2\tdb\n::2\tsix\n"
        );
    }

    #[test]
    fn the_command_line_replaces_what_the_host_says() {
        let host = HostFiles {
            resolv_conf: "# note\nnameserver 10.0.0.1\nsearch corp.example\noptions ndots:2\n"
                .to_owned(),
            ..HostFiles::default()
        };
        let mut config = sample();
        assert_eq!(resolv_conf(&config, &host, false), host.resolv_conf);
        config.dns = DnsConfig {
            servers: vec!["9.9.9.9".to_owned()],
            search: vec![".".to_owned()],
            options: Vec::new(),
        };
        assert_eq!(
            resolv_conf(&config, &host, false),
            "# note\noptions ndots:2\nnameserver 9.9.9.9\n"
        );
    }

    #[test]
    fn bad_extra_hosts() {
        for text in ["", "db", ":1.2.3.4", "db:host", "a b:1.2.3.4"] {
            assert!(parse_extra_host(text).is_err(), "{text}");
        }
    }
}
