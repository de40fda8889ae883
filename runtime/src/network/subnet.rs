//! Subnets and addresses: which are free, which come next. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::device::Mac;

/// Prefix length of the IPv4 subnets that are chosen: 254 addresses.
const V4_PREFIX: u8 = 24;
/// Prefix length of every IPv6 subnet of a site (RFC 4193).
const V6_PREFIX: u8 = 64;

/// Where free IPv4 subnets are looked for: private blocks (RFC 1918) that cloud and home networks use least.
const POOLS: [(Ipv4Addr, u8); 3] = [
    (Ipv4Addr::new(10, 88, 0, 0), 13),
    (Ipv4Addr::new(172, 24, 0, 0), 14),
    (Ipv4Addr::new(192, 168, 128, 0), 17),
];

/// A free IPv4 subnet. `start` says where in the first pool to begin, so that stores that know nothing of each other do not
/// reach for the same. `None` when all are taken.
pub(crate) fn choose_v4(start: u32, taken: &[IpNet]) -> Option<Ipv4Net> {
    let free = |net: &Ipv4Net| !taken.iter().any(|taken| overlap(IpNet::V4(*net), *taken));
    POOLS.iter().find_map(|&(address, prefix)| {
        let count = 1_u32 << (V4_PREFIX - prefix);
        (0..count).find_map(|number| {
            let offset = start.wrapping_add(number) % count;
            let address = u32::from(address) + (offset << (32 - V4_PREFIX));
            Ipv4Net::new(address.into(), V4_PREFIX).ok().filter(free)
        })
    })
}

/// A unique local IPv6 subnet (RFC 4193) from 16 random bytes.
pub(crate) fn choose_v6(random: [u8; 16]) -> Ipv6Net {
    let mut octets = random;
    octets[0] = 0xfd;
    octets[8..].fill(0);
    Ipv6Net::new_assert(octets.into(), V6_PREFIX)
}

/// Whether two subnets share an address.
pub(crate) fn overlap(one: IpNet, other: IpNet) -> bool {
    match (one, other) {
        (IpNet::V4(_), IpNet::V6(_)) | (IpNet::V6(_), IpNet::V4(_)) => false,
        _ => one.contains(&other.network()) || other.contains(&one.network()),
    }
}

/// The first address that a host can have.
pub(crate) fn first_host(subnet: IpNet) -> IpAddr {
    nth(subnet, 1)
}

/// The address with this number in the subnet.
fn nth(subnet: IpNet, number: u128) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(address) => {
            Ipv4Addr::from(u32::from(address).wrapping_add(number as u32)).into()
        }
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address).wrapping_add(number)).into(),
    }
}

fn number(subnet: IpNet, address: IpAddr) -> u128 {
    match (subnet.network(), address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            u128::from(u32::from(address).wrapping_sub(u32::from(base)))
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            u128::from(address).wrapping_sub(u128::from(base))
        }
        _ => 0,
    }
}

/// Whether a host of the subnet can have this address: not its first (the network's) nor, with IPv4, its last (broadcast).
pub(crate) fn is_host(subnet: IpNet, address: IpAddr) -> bool {
    let edge = address == subnet.network() || (address.is_ipv4() && address == subnet.broadcast());
    subnet.contains(&address) && (!edge || subnet.max_prefix_len() - subnet.prefix_len() <= 1)
}

/// The free address in `range` that follows `last`, round and round: one that was just given back rests as long as possible,
/// because others may still remember who had it. `None` when all are taken.
pub(crate) fn next_free(
    subnet: IpNet,
    range: IpNet,
    last: Option<IpAddr>,
    taken: &dyn Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    // More than this are never in use at once.
    const LIMIT: u128 = 1 << 20;
    let size = match range.max_prefix_len() - range.prefix_len() {
        bits if bits >= 20 => LIMIT,
        bits => 1 << bits,
    };
    let start = match last {
        Some(last) if range.contains(&last) => number(range, last) + 1,
        _ => 0,
    };
    (0..size)
        .map(|offset| nth(range, (start + offset) % size))
        .find(|address| is_host(subnet, *address) && !taken(*address))
}

/// A hardware address that belongs to an IPv4 address, as Docker makes them: whoever remembers it stays right when the address
/// is given to another container.
pub(crate) fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_is_chosen_that_nobody_has() {
        let taken = [net("10.88.5.0/24"), net("10.88.6.7/32"), net("fd00::/8")];
        assert_eq!(
            IpNet::V4(choose_v4(5, &taken).unwrap()),
            net("10.88.7.0/24")
        );
        assert_eq!(
            IpNet::V4(choose_v4(2047, &[]).unwrap()),
            net("10.95.255.0/24")
        );
        let ten = [net("10.0.0.0/8")];
        assert_eq!(IpNet::V4(choose_v4(0, &ten).unwrap()), net("172.24.0.0/24"));
        assert_eq!(choose_v4(9, &[net("0.0.0.0/1"), net("128.0.0.0/1")]), None);
    }

    #[test]
    fn unique_local_subnets() {
        assert_eq!(
            choose_v6([0xab; 16]).to_string(),
            "fdab:abab:abab:abab::/64"
        );
    }

    #[test]
    fn addresses_follow_each_other_and_begin_again() {
        let subnet = net("10.1.2.0/29");
        let gateway: IpAddr = "10.1.2.1".parse().unwrap();
        let mut last = None;
        let mut given = Vec::new();
        for _ in 0..6 {
            last = next_free(subnet, subnet, last, &|address| address == gateway);
            given.push(last.unwrap().to_string());
        }
        let expected = [
            "10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6", "10.1.2.2",
        ];
        assert_eq!(given, expected);
        assert_eq!(next_free(subnet, subnet, None, &|_| true), None);
        let range = net("10.1.2.4/31");
        let outside = next_free(subnet, range, Some(gateway), &|_| false);
        assert_eq!(outside, "10.1.2.4".parse().ok());
    }

    #[test]
    fn ipv6_ranges_are_larger_than_any_loop() {
        let subnet = net("fd00:1::/64");
        let first = next_free(subnet, subnet, None, &|_| false);
        assert_eq!(first, "fd00:1::1".parse().ok());
        assert!(overlap(subnet, net("fd00::/16")) && !overlap(subnet, net("fd00:2::/64")));
    }
}
