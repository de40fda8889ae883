//! Conditions and verdicts as expressions of nf_tables: loads into registers, and comparisons.
//!
//! Numbers are those of `linux/netfilter/nf_tables.h`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Match, Rule, Verdict, Version};
use crate::container::Protocol;
use crate::network::device::octets;
use crate::network::netlink::Message;

const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

/// `NFT_REG_VERDICT`
const VERDICT_REGISTER: u32 = 0;
/// `NFT_REG_1`: holds up to 16 bytes.
const FIRST: u32 = 1;
/// `NFT_REG_2`
const SECOND: u32 = 2;

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// `NF_CT_STATE_BIT` of established and related connections.
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// `IPS_DST_NAT`
const STATUS_DNAT: u32 = 1 << 5;
/// `NFT_FIB_RESULT_ADDRTYPE`
const FIB_ADDRESS_TYPE: u32 = 3;
/// `NFTA_FIB_F_DADDR`
const FIB_DESTINATION: u32 = 2;
/// `RTN_LOCAL`
const TYPE_LOCAL: u32 = 2;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`
const VERSIONS: [u8; 2] = [2, 10];
/// Length of a device's name in a register, with its final zero byte.
const NAME_LENGTH: usize = 16;

/// Appends the expressions of a rule.
pub(super) fn put(message: &mut Message, rule: &Rule) {
    for condition in &rule.matches {
        put_match(message, condition);
    }
    match rule.verdict {
        Verdict::Drop => verdict(message, 0),
        Verdict::Accept => verdict(message, 1),
        Verdict::Masquerade => expression(message, "masq", |_| {}),
        Verdict::Redirect(to) => redirect(message, to),
    }
}

fn put_match(message: &mut Message, condition: &Match) {
    match condition {
        Match::In(name) => name_is(message, META_IIFNAME, EQUAL, whole(name)),
        Match::Out(name) => name_is(message, META_OIFNAME, EQUAL, whole(name)),
        Match::NotOut(name) => name_is(message, META_OIFNAME, NOT_EQUAL, whole(name)),
        Match::NotInAny(name) => name_is(message, META_IIFNAME, NOT_EQUAL, name.clone().into()),
        Match::NotOutAny(name) => name_is(message, META_OIFNAME, NOT_EQUAL, name.clone().into()),
        Match::Source(net) => address(message, *net, true, EQUAL),
        Match::Destination(to) => address(message, IpNet::from(*to), false, EQUAL),
        Match::NotDestination(net) => address(message, *net, false, NOT_EQUAL),
        Match::Local => {
            expression(message, "fib", |fib| {
                fib.put_network(1, FIRST);
                fib.put_network(2, FIB_ADDRESS_TYPE);
                fib.put_network(3, FIB_DESTINATION);
            });
            compare(message, EQUAL, &TYPE_LOCAL.to_ne_bytes());
        }
        Match::Port(protocol, number) => {
            let protocol = match protocol {
                Protocol::Tcp => 6,
                Protocol::Udp => 17,
            };
            meta(message, META_L4PROTO);
            compare(message, EQUAL, &[protocol]);
            payload(message, TRANSPORT_HEADER, 2, 2);
            compare(message, EQUAL, &number.to_be_bytes());
        }
        Match::Established => connection(message, CT_STATE, ESTABLISHED_OR_RELATED),
        Match::Redirected => connection(message, CT_STATUS, STATUS_DNAT),
        Match::Version(version) => is_version(message, *version),
    }
}

fn expression(message: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    message.nest(LIST_ELEMENT, |element| {
        element.put_text(EXPRESSION_NAME, name);
        element.nest(EXPRESSION_DATA, fill);
    });
}

/// Loads a property of the packet.
fn meta(message: &mut Message, key: u32) {
    expression(message, "meta", |meta| {
        meta.put_network(1, FIRST);
        meta.put_network(2, key);
    });
}

/// Loads bytes of the packet.
fn payload(message: &mut Message, base: u32, offset: u32, length: u32) {
    expression(message, "payload", |payload| {
        payload.put_network(1, FIRST);
        payload.put_network(2, base);
        payload.put_network(3, offset);
        payload.put_network(4, length);
    });
}

fn compare(message: &mut Message, operator: u32, value: &[u8]) {
    expression(message, "cmp", |cmp| {
        cmp.put_network(1, FIRST);
        cmp.put_network(2, operator);
        cmp.nest(3, |data| data.put(DATA_VALUE, value));
    });
}

/// Keeps the bits of `mask`.
fn mask(message: &mut Message, mask: &[u8]) {
    expression(message, "bitwise", |bitwise| {
        bitwise.put_network(1, FIRST);
        bitwise.put_network(2, FIRST);
        bitwise.put_network(3, mask.len() as u32);
        bitwise.nest(4, |data| data.put(DATA_VALUE, mask));
        bitwise.nest(5, |data| data.put(DATA_VALUE, &vec![0; mask.len()]));
    });
}

/// Compares as many bytes as are given: a shorter text is a prefix.
fn name_is(message: &mut Message, key: u32, operator: u32, name: Vec<u8>) {
    meta(message, key);
    compare(message, operator, &name);
}

/// A name that nothing follows.
fn whole(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME_LENGTH, 0);
    bytes
}

fn is_version(message: &mut Message, version: Version) {
    meta(message, META_NFPROTO);
    compare(message, EQUAL, &[VERSIONS[version as usize]]);
}

fn address(message: &mut Message, net: IpNet, source: bool, operator: u32) {
    is_version(message, Version::of(net.addr()));
    let (_, network) = octets(net.network());
    let (_, netmask) = octets(net.netmask());
    let length = network.len() as u32;
    // Where the addresses stand in the headers of IPv4 and IPv6.
    let offset = match (net.addr(), source) {
        (IpAddr::V4(_), true) => 12,
        (IpAddr::V4(_), false) => 16,
        (IpAddr::V6(_), true) => 8,
        (IpAddr::V6(_), false) => 24,
    };
    payload(message, NETWORK_HEADER, offset, length);
    if net.prefix_len() < net.max_prefix_len() {
        mask(message, &netmask);
    }
    compare(message, operator, &network);
}

/// Any of these bits of the connection is set.
fn connection(message: &mut Message, key: u32, bits: u32) {
    expression(message, "ct", |ct| {
        ct.put_network(1, FIRST);
        ct.put_network(2, key);
    });
    mask(message, &bits.to_ne_bytes());
    compare(message, NOT_EQUAL, &[0; 4]);
}

fn verdict(message: &mut Message, code: u32) {
    expression(message, "immediate", |immediate| {
        immediate.put_network(1, VERDICT_REGISTER);
        immediate.nest(2, |data| {
            data.nest(DATA_VERDICT, |verdict| {
                verdict.put_network(VERDICT_CODE, code);
            });
        });
    });
}

fn redirect(message: &mut Message, to: SocketAddr) {
    let mut load = |register: u32, value: &[u8]| {
        expression(message, "immediate", |immediate| {
            immediate.put_network(1, register);
            immediate.nest(2, |data| data.put(DATA_VALUE, value));
        });
    };
    load(FIRST, &octets(to.ip()).1);
    load(SECOND, &to.port().to_be_bytes());
    expression(message, "nat", |nat| {
        // A changed destination.
        nat.put_network(1, 1);
        let version = Version::of(to.ip());
        nat.put_network(2, u32::from(VERSIONS[version as usize]));
        nat.put_network(3, FIRST);
        nat.put_network(5, SECOND);
    });
}
