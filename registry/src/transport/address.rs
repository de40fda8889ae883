//! Which addresses a registry may send us to.
//!
//! A redirect, an upload location and a token realm are all text from the network. They must not lead from a public registry to a loopback,
//! private or link-local address (cloud metadata services live there), nor from TLS to plain text.

use std::net::IpAddr;

use url::{Host, Url};

use crate::error::{Error, Result};

use super::redact::redact;

/// The longest chain of redirects that is followed; browsers and Go use ten to twenty.
pub(crate) const MOST_REDIRECTS: usize = 10;

/// True if both URLs have the same scheme, host and port: only then may credentials go along.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Checks an address that the server behind `from` named. `plain_allowed` says that the registry is configured as insecure.
pub(crate) fn check(from: &Url, to: &Url, plain_allowed: bool) -> Result<()> {
    let refuse = |reason| {
        Err(Error::Redirect {
            from: redact(from),
            to: redact(to),
            reason,
        })
    };
    match to.scheme() {
        "https" => {}
        "http" if plain_allowed || from.scheme() == "http" => {}
        "http" => return refuse("it leads from TLS to plain HTTP"),
        _ => return refuse("its scheme is neither https nor http"),
    }
    let Some(host) = to.host() else {
        return refuse("it has no host");
    };
    if is_internal(&host)
        && from.host().as_ref() != Some(&host)
        && !from.host().is_some_and(|host| is_internal(&host))
        && !plain_allowed
    {
        return refuse("it leads from a public host to a private address");
    }
    if is_link_local(&host) && from.host().as_ref() != Some(&host) {
        return refuse(
            "it leads to a link-local address, where clouds keep their metadata services",
        );
    }
    Ok(())
}

/// True for literal addresses that nothing but the own link has. No registry sends anybody there, not even a local one.
fn is_link_local(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(_) => false,
        Host::Ipv4(address) => address.is_link_local(),
        Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.is_link_local(),
            None => address.is_unicast_link_local(),
        },
    }
}

/// True for names and literal addresses that mean this machine or its own network.
fn is_internal(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => is_internal_ip(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_internal_ip(IpAddr::V6(*address)),
    }
}

fn is_internal_ip(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                // Shared address space of carriers (RFC 6598), used for metadata services by some clouds.
                || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_internal_ip(IpAddr::V4(v4)),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
            }
        },
    }
}

/// True for the hosts that are spoken to in plain HTTP without being asked: `localhost`, 127.0.0.0/8 and `[::1]`.
pub(crate) fn is_loopback(registry: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{registry}/")) else {
        return false;
    };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn redirects() {
        let public = url("https://registry.example/v2/");
        for fine in [
            "https://cdn.example/x",
            "https://registry.example/y",
            "https://8.8.8.8/x",
            "https://[2606:4700::1]/x",
        ] {
            assert!(check(&public, &url(fine), false).is_ok(), "{fine}");
        }
        for wrong in [
            "http://cdn.example/x",
            "ftp://cdn.example/x",
            "file:///etc/passwd",
            "https://127.0.0.1/x",
            "https://localhost:5000/x",
            "https://10.1.2.3/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://[fe80::1]/x",
            "https://100.100.100.200/x",
            "https://0.0.0.0/x",
        ] {
            assert!(check(&public, &url(wrong), false).is_err(), "{wrong}");
        }
        assert!(
            check(
                &url("http://127.0.0.1:5000/v2/"),
                &url("http://127.0.0.1:9000/x"),
                false
            )
            .is_ok()
        );
        assert!(
            check(
                &url("https://10.0.0.1/v2/"),
                &url("https://10.0.0.2/x"),
                false
            )
            .is_ok()
        );
        assert!(check(&public, &url("http://10.0.0.2/x"), true).is_ok());
        let local = url("http://127.0.0.1:5000/v2/");
        for wrong in [
            "http://169.254.169.254/x",
            "http://[fe80::1]/x",
            "http://[::ffff:169.254.169.254]/x",
        ] {
            assert!(check(&local, &url(wrong), true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn loopback_names() {
        for yes in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.8.9.1",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in [
            "localhost.example",
            "registry.example:5000",
            "128.0.0.1",
            "docker.io",
            "10.0.0.1",
            "[fe80::1]",
        ] {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn origins() {
        assert!(same_origin(&url("https://a/x"), &url("https://a:443/y")));
        assert!(!same_origin(&url("https://a/x"), &url("http://a/x")));
        assert!(!same_origin(&url("https://a/x"), &url("https://a:444/x")));
        assert!(!same_origin(&url("https://a/x"), &url("https://b/x")));
    }
}
