//! What the command line says about the network of a new container, checked.

use crate::container::config::{Config, DnsConfig, NetworkMode};
use crate::container::create::CreateOptions;
use crate::container::error::{Error, Result};
use crate::container::shared::NamespaceMode;
use crate::container::{ContainerId, Containers};
use crate::network::{Networks, Wish};

/// `--network` and the flags that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What kind of network.
    pub mode: NetworkMode,
    /// The networks by name.
    pub connections: Vec<Wish>,
    /// The container whose network is shared.
    pub container: Option<String>,
}

impl Asked {
    /// Reads the flags.
    pub(crate) fn parse(options: &CreateOptions) -> Result<Self> {
        let mut asked = Self {
            mode: NetworkMode::Default,
            connections: Vec::new(),
            container: None,
        };
        let special =
            !options.network_aliases.is_empty() || options.ip.is_some() || options.ip6.is_some();
        match options.network.as_deref() {
            None | Some("default" | "bridge" | "") => {}
            Some("private") => asked.mode = NetworkMode::Private,
            Some("none") => asked.mode = NetworkMode::None,
            Some("host") => asked.mode = NetworkMode::Host,
            Some(name) => match name.strip_prefix("container:") {
                Some(container) => {
                    asked.mode = NetworkMode::Container;
                    asked.container = Some(container.to_owned());
                }
                None => {
                    asked.mode = NetworkMode::Networks;
                    asked.connections.push(wish(name, options)?);
                }
            },
        }
        if special && asked.mode != NetworkMode::Networks {
            return Err(Error::Invalid(
                "--ip, --ip6 and --network-alias are for user-defined networks: name one with --network"
                    .to_owned(),
            ));
        }
        if asked.mode == NetworkMode::Container {
            refuse_for_shared(options)?;
        }
        Ok(asked)
    }
}

fn wish(network: &str, options: &CreateOptions) -> Result<Wish> {
    let invalid = |text: &str| Error::Invalid(format!("invalid IP address: {text}"));
    for alias in &options.network_aliases {
        check_name(alias, "network alias")?;
    }
    let ipv4 = options.ip.as_deref();
    let ipv6 = options.ip6.as_deref();
    Ok(Wish {
        network: network.to_owned(),
        aliases: options.network_aliases.clone(),
        ipv4: ipv4
            .map(|text| text.parse().map_err(|_| invalid(text)))
            .transpose()?,
        ipv6: ipv6
            .map(|text| text.parse().map_err(|_| invalid(text)))
            .transpose()?,
    })
}

/// What belongs to the other container can't be asked for, in docker's words.
fn refuse_for_shared(options: &CreateOptions) -> Result<()> {
    let conflict = |what: &str| {
        Err(Error::Invalid(format!(
            "conflicting options: {what} and the container type network mode"
        )))
    };
    if options.hostname.is_some() {
        return conflict("hostname");
    }
    if !options.publish.is_empty() || options.publish_all {
        return conflict("port publishing");
    }
    if !options.dns.is_empty() {
        return conflict("dns");
    }
    Ok(())
}

/// `--dns`, `--dns-search` and `--dns-option`: each becomes a word of a file, so nothing in it may end the word.
pub(crate) fn dns(options: &CreateOptions) -> Result<DnsConfig> {
    for server in &options.dns {
        if server.parse::<std::net::IpAddr>().is_err() {
            return Err(Error::Invalid(format!(
                "invalid --dns \"{server}\": an IP address is expected"
            )));
        }
    }
    let words = options.dns_search.iter().chain(&options.dns_options);
    for word in words {
        let bad = |letter: char| letter.is_whitespace() || letter.is_control();
        if word.is_empty() || word.contains(bad) {
            return Err(Error::Invalid(format!(
                "invalid --dns-search or --dns-option {word:?}: one word is expected"
            )));
        }
    }
    Ok(DnsConfig {
        servers: options.dns.clone(),
        search: options.dns_search.clone(),
        options: options.dns_options.clone(),
    })
}

/// The host name: as asked for, the host's, or the short id.
pub(crate) fn hostname(
    id: &ContainerId,
    network: NetworkMode,
    uts: &NamespaceMode,
    options: &CreateOptions,
) -> Result<String> {
    let host = network == NetworkMode::Host || *uts == NamespaceMode::Host;
    match (&options.hostname, host) {
        (Some(hostname), _) => {
            check_name(hostname, "hostname")?;
            Ok(hostname.clone())
        }
        (None, true) => Ok(rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()),
        (None, false) => Ok(id.short().to_owned()),
    }
}

/// Checks a name that is written into `/etc/hosts` and `/etc/hostname`.
pub(crate) fn check_name(name: &str, what: &str) -> Result<()> {
    /// The kernel's limit (`__NEW_UTS_LEN`).
    const LIMIT: usize = 64;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > LIMIT || !name.bytes().all(good) {
        return Err(Error::Invalid(format!(
            "invalid {what} {name:?}: up to {LIMIT} letters, digits, `-`, `_` and `.` are allowed"
        )));
    }
    Ok(())
}

impl Containers {
    /// Puts whole names in place of what the user called networks and containers.
    pub(in crate::container) fn settle_network(&self, config: &mut Config) -> Result<()> {
        let networks = Networks::of(self.store.root());
        for connection in &mut config.connections {
            connection.network = networks.find(&connection.network)?.name;
        }
        if let Some(container) = &mut config.network_container {
            let other = self.find(container)?;
            *container = other.id().to_string();
            config.hostname.clone_from(&other.config().hostname);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(network: &str) -> CreateOptions {
        CreateOptions {
            network: Some(network.to_owned()),
            ..CreateOptions::default()
        }
    }

    #[test]
    fn modes_and_names() {
        let mode = |network: &str| Asked::parse(&options(network)).unwrap().mode;
        assert_eq!(mode("bridge"), NetworkMode::Default);
        assert_eq!(mode("none"), NetworkMode::None);
        assert_eq!(mode("host"), NetworkMode::Host);
        assert_eq!(mode("private"), NetworkMode::Private);
        let shared = Asked::parse(&options("container:web")).unwrap();
        assert_eq!(shared.container.as_deref(), Some("web"));
        let mut named = options("back");
        named.ip = Some("10.1.2.3".to_owned());
        named.network_aliases = vec!["db".to_owned()];
        let asked = Asked::parse(&named).unwrap();
        assert_eq!(asked.connections[0].ipv4, Some([10, 1, 2, 3].into()));
        named.network = None;
        assert!(
            Asked::parse(&named)
                .unwrap_err()
                .to_string()
                .contains("user-defined")
        );
    }

    #[test]
    fn nothing_ends_a_line_of_a_file() {
        for name in ["", "a b", "a\nb", "a\tb", "ä", &"x".repeat(65)] {
            assert!(check_name(name, "hostname").is_err(), "{name:?}");
        }
        let with = |servers: &[&str], search: &[&str], more: &[&str]| CreateOptions {
            dns: servers.iter().map(|&text| text.to_owned()).collect(),
            dns_search: search.iter().map(|&text| text.to_owned()).collect(),
            dns_options: more.iter().map(|&text| text.to_owned()).collect(),
            ..CreateOptions::default()
        };
        assert!(dns(&with(&["9.9.9.9", "fd00::1"], &["."], &["ndots:2"])).is_ok());
        for bad in [
            with(&["9.9.9.9\nnameserver 6.6.6.6"], &[], &[]),
            with(&["dns.example"], &[], &[]),
            with(&[], &["a\nb"], &[]),
            with(&[], &[], &["a b"]),
        ] {
            assert!(dns(&bad).is_err(), "{bad:?}");
        }
    }
}
