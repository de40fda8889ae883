//! `/etc/hosts` of a step.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::request::HOST_GATEWAY;

/// The names that every step knows, its own among them, and those that the caller adds. `gateway` is the host as the step
/// reaches it; without one the step has the host's own network.
pub(super) fn hosts(
    hostname: &str,
    extra: &[(String, String)],
    gateway: Option<IpAddr>,
) -> Vec<u8> {
    let gateway = gateway.unwrap_or(Ipv4Addr::LOCALHOST.into()).to_string();
    let mut text =
        format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        let address = match address.as_str() {
            HOST_GATEWAY => &gateway,
            address => address,
        };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    text.into_bytes()
}
