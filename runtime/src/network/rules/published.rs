//! The rules of one network.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Chain, Hook, Match, Rule, Verdict, Version};
use crate::container::Protocol;

/// A port of the host that leads to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// On the host; an unspecified address is every address of that version of IP.
    pub host: SocketAddr,
    /// Transport.
    pub protocol: Protocol,
    /// In the container.
    pub container: SocketAddr,
}

/// The chains of the network behind `bridge`.
///
/// A packet may enter the network if it belongs to a connection that began inside, comes from the network itself, or was sent
/// to a published port. Everything else, from outside and from other networks, is dropped; an internal network lets nothing out
/// either. What leaves for elsewhere gets the host's address; so does what reaches a published port from inside the same
/// network, because its answer would otherwise go straight to the asker, who does not expect it from there.
///
/// Connections to the host's loopback addresses are not redirected: the container's monitor carries them.
pub(crate) fn chains(
    bridge: &str,
    subnets: &[IpNet],
    internal: bool,
    published: &[Published],
) -> Vec<Chain> {
    let chain = |hook: Hook, rules| Chain {
        name: format!("{}-{bridge}", hook.word()),
        hook,
        rules,
    };
    vec![
        chain(Hook::Prerouting, redirects(published, false)),
        chain(Hook::Output, redirects(published, true)),
        chain(Hook::Forward, forward(bridge, internal)),
        chain(Hook::Postrouting, postrouting(bridge, subnets, internal)),
    ]
}

/// The prefix of every bridge's name.
const BRIDGES: &str = "kiln";
/// The chain of [`guard`].
pub(crate) const GUARD: &str = "guard";

/// Keeps a machine that forwarded nothing before from becoming a router for others: forwards only what comes from or goes to a
/// network of ours.
pub(crate) fn guard() -> Chain {
    let name = || BRIDGES.to_owned();
    Chain {
        name: GUARD.to_owned(),
        hook: Hook::Forward,
        rules: vec![Rule {
            matches: vec![Match::NotInAny(name()), Match::NotOutAny(name())],
            verdict: Verdict::Drop,
        }],
    }
}

fn redirects(published: &[Published], own: bool) -> Vec<Rule> {
    let outside = published
        .iter()
        .filter(|port| !port.host.ip().is_loopback());
    outside
        .map(|port| {
            let mut matches = Vec::new();
            if port.host.ip().is_unspecified() {
                matches.push(Match::Version(Version::of(port.host.ip())));
                if own {
                    matches.push(Match::NotDestination(loopback(port.host.ip())));
                }
                matches.push(Match::Local);
            } else {
                matches.push(Match::Destination(port.host.ip()));
            }
            matches.push(Match::Port(port.protocol, port.host.port()));
            Rule {
                matches,
                verdict: Verdict::Redirect(port.container),
            }
        })
        .collect()
}

/// The loopback addresses of an address's version of IP.
fn loopback(address: IpAddr) -> IpNet {
    let (address, prefix): (IpAddr, u8) = match address {
        IpAddr::V4(_) => ([127, 0, 0, 0].into(), 8),
        IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST.into(), 128),
    };
    IpNet::new_assert(address, prefix)
}

fn forward(bridge: &str, internal: bool) -> Vec<Rule> {
    let name = || bridge.to_owned();
    let rule = |matches, verdict| Rule { matches, verdict };
    let mut rules = vec![
        rule(vec![Match::In(name()), Match::Out(name())], Verdict::Accept),
        rule(
            vec![Match::Out(name()), Match::Established],
            Verdict::Accept,
        ),
    ];
    if internal {
        rules.push(rule(vec![Match::In(name())], Verdict::Drop));
    } else {
        rules.push(rule(
            vec![Match::Out(name()), Match::Redirected],
            Verdict::Accept,
        ));
    }
    rules.push(rule(vec![Match::Out(name())], Verdict::Drop));
    rules
}

fn postrouting(bridge: &str, subnets: &[IpNet], internal: bool) -> Vec<Rule> {
    if internal {
        return Vec::new();
    }
    let masquerade = |matches| Rule {
        matches,
        verdict: Verdict::Masquerade,
    };
    let name = || bridge.to_owned();
    subnets
        .iter()
        .flat_map(|subnet| {
            [
                masquerade(vec![Match::Source(*subnet), Match::NotOut(name())]),
                masquerade(vec![
                    Match::Source(*subnet),
                    Match::Out(name()),
                    Match::Redirected,
                ]),
            ]
        })
        .collect()
}
