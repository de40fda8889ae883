//! Packet rules: what a network asks of the kernel's packet filter, as plain values.
//!
//! All of kiln's rules stand in the table `inet kiln`. Each network has four chains there that bear its bridge's name, so that
//! networks, also those of different stores, never touch each other's. A network's chains are replaced as a whole in one
//! transaction: there is no moment without rules, and nothing to be undone after a crash.

mod encode;
mod expression;
mod published;
mod table;
mod watch;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::container::Protocol;
pub(crate) use published::{GUARD, Published, chains, guard};
pub(crate) use table::Table;
pub(crate) use watch::RuleWatch;

/// A chain that the kernel sends packets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its name in the table.
    pub name: String,
    /// Where packets come by.
    pub hook: Hook,
    /// The rules, in order; what none of them decides is accepted.
    pub rules: Vec<Rule>,
}

/// A place on the way of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Before the way of a packet from outside is chosen: changes destinations.
    Prerouting,
    /// The same for packets of this machine.
    Output,
    /// Packets that go through this machine.
    Forward,
    /// Packets that leave: changes sources.
    Postrouting,
}

/// What is done with the packets that match everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The conditions.
    pub matches: Vec<Match>,
    /// What follows.
    pub verdict: Verdict,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// Came in by this device.
    In(String),
    /// Goes out by this device.
    Out(String),
    /// Does not go out by this device.
    NotOut(String),
    /// Came in by no device whose name begins so.
    NotInAny(String),
    /// Goes out by no device whose name begins so.
    NotOutAny(String),
    /// Comes from this network.
    Source(IpNet),
    /// Goes to this address.
    Destination(IpAddr),
    /// Goes elsewhere than to this network.
    NotDestination(IpNet),
    /// Goes to any address of this machine.
    Local,
    /// Goes to this port.
    Port(Protocol, u16),
    /// Belongs to a connection that is known.
    Established,
    /// Its destination was changed by a rule.
    Redirected,
    /// Is of this version of IP.
    Version(Version),
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Version {
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// The end of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Goes on.
    Accept,
    /// Is lost.
    Drop,
    /// Gets the address of the device it leaves by.
    Masquerade,
    /// Goes there instead.
    Redirect(SocketAddr),
}

impl Hook {
    /// The word in names of chains.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Output => "output",
            Self::Forward => "forward",
            Self::Postrouting => "postrouting",
        }
    }
}

/// In the notation of `nft list`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        match self.verdict {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Masquerade => f.write_str("masquerade"),
            Verdict::Redirect(to @ SocketAddr::V4(_)) => write!(f, "dnat ip to {to}"),
            Verdict::Redirect(to @ SocketAddr::V6(_)) => write!(f, "dnat ip6 to {to}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |net: &IpNet| match net {
            IpNet::V4(_) => "ip",
            IpNet::V6(_) => "ip6",
        };
        match self {
            Self::In(name) => write!(f, "iifname \"{name}\""),
            Self::Out(name) => write!(f, "oifname \"{name}\""),
            Self::NotOut(name) => write!(f, "oifname != \"{name}\""),
            Self::NotInAny(name) => write!(f, "iifname != \"{name}*\""),
            Self::NotOutAny(name) => write!(f, "oifname != \"{name}*\""),
            Self::Source(net) => write!(f, "{} saddr {net}", family(net)),
            Self::Destination(IpAddr::V4(address)) => write!(f, "ip daddr {address}"),
            Self::Destination(IpAddr::V6(address)) => write!(f, "ip6 daddr {address}"),
            Self::NotDestination(net) => {
                let whole = net.prefix_len() == net.max_prefix_len();
                match whole {
                    true => write!(f, "{} daddr != {}", family(net), net.addr()),
                    false => write!(f, "{} daddr != {net}", family(net)),
                }
            }
            Self::Local => f.write_str("fib daddr type local"),
            Self::Port(protocol, number) => write!(f, "{protocol} dport {number}"),
            Self::Established => f.write_str("ct state established,related"),
            Self::Redirected => f.write_str("ct status dnat"),
            Self::Version(Version::V4) => f.write_str("meta nfproto ipv4"),
            Self::Version(Version::V6) => f.write_str("meta nfproto ipv6"),
        }
    }
}
