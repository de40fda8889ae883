//! What can be asked of a new network, in docker's notation.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::error::{Error, Result};
use super::networks::Subnet;
use super::subnet::{first_host, is_host, overlap};

/// The wishes of `network create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkOptions {
    /// `--subnet`: at most one of each version of IP.
    pub subnets: Vec<String>,
    /// `--gateway`: in the subnets.
    pub gateways: Vec<String>,
    /// `--ip-range`: the parts of the subnets that addresses are given out of.
    pub ranges: Vec<String>,
    /// `--internal`.
    pub internal: bool,
    /// `--ipv6`, or with `false` no IPv6; where neither is said there is IPv6 if the machine has it.
    pub ipv6: Option<bool>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
}

impl NetworkOptions {
    /// The subnets that were asked for; `taken` are those of other networks with their names.
    pub(super) fn subnets(&self, taken: &[(String, IpNet)]) -> Result<Vec<Subnet>> {
        let mut subnets = Vec::new();
        for text in &self.subnets {
            let subnet = subnet(text)?;
            if let Some((name, _)) = taken.iter().find(|(_, other)| overlap(*other, subnet)) {
                return Err(Error::Invalid(format!(
                    "invalid pool request: Pool overlaps with other one on this address space: {subnet} is part of network {name}"
                )));
            }
            subnets.push(Subnet {
                subnet,
                gateway: first_host(subnet),
                range: None,
            });
        }
        check_versions(&subnets, self.ipv6)?;
        for text in &self.ranges {
            let range = subnet_or_invalid(text, "ip-range")?;
            let subnet = holder(&mut subnets, range.network(), "ip-range", text)?;
            if range.prefix_len() < subnet.subnet.prefix_len() {
                return Err(Error::Invalid(format!(
                    "--ip-range {text} is larger than subnet {}",
                    subnet.subnet
                )));
            }
            subnet.range = Some(range);
        }
        for text in &self.gateways {
            let gateway: IpAddr = text
                .parse()
                .map_err(|_| Error::Invalid(format!("invalid gateway address: {text}")))?;
            let subnet = holder(&mut subnets, gateway, "gateway", text)?;
            if !is_host(subnet.subnet, gateway) {
                return Err(Error::Invalid(format!(
                    "gateway {text} is not an address for a host of subnet {}",
                    subnet.subnet
                )));
            }
            subnet.gateway = gateway;
        }
        Ok(subnets)
    }
}

fn check_versions(subnets: &[Subnet], ipv6: Option<bool>) -> Result<()> {
    let count = |v4: bool| {
        let matching = subnets
            .iter()
            .filter(|one| one.subnet.addr().is_ipv4() == v4);
        matching.count()
    };
    if count(true) > 1 || count(false) > 1 {
        return Err(Error::Invalid(
            "a network has at most one IPv4 and one IPv6 subnet".to_owned(),
        ));
    }
    if count(false) == 1 && ipv6 == Some(false) {
        return Err(Error::Invalid(
            "an IPv6 --subnet was given together with --ipv6=false".to_owned(),
        ));
    }
    Ok(())
}

/// The subnet that holds an address of another flag.
fn holder<'a>(
    subnets: &'a mut [Subnet],
    address: IpAddr,
    flag: &str,
    text: &str,
) -> Result<&'a mut Subnet> {
    subnets
        .iter_mut()
        .find(|subnet| subnet.subnet.contains(&address))
        .ok_or_else(|| {
            Error::Invalid(format!(
                "no configured subnet contains --{flag} {text}: give --subnet too"
            ))
        })
}

fn subnet(text: &str) -> Result<IpNet> {
    let net = subnet_or_invalid(text, "subnet")?;
    // A host and a gateway at least.
    let smallest = net.max_prefix_len() - 2;
    if net.prefix_len() == 0 || net.prefix_len() > smallest {
        return Err(Error::Invalid(format!(
            "invalid subnet {text}: its length has to be from 1 to {smallest}"
        )));
    }
    if net.addr() != net.network() {
        return Err(Error::Invalid(format!(
            "invalid subnet {text}: it should be {}",
            net.trunc()
        )));
    }
    let address = net.addr();
    if address.is_loopback() || address.is_multicast() || address.is_unspecified() {
        return Err(Error::Invalid(format!(
            "invalid subnet {text}: these addresses are not for networks"
        )));
    }
    Ok(net)
}

fn subnet_or_invalid(text: &str, flag: &str) -> Result<IpNet> {
    text.parse().map_err(|_| {
        Error::Invalid(format!(
            "invalid {flag} {text}: an address with a length is expected, such as 10.1.2.0/24"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn subnets_with_gateways_and_ranges() {
        let options = NetworkOptions {
            subnets: texts(&["10.1.0.0/16", "fd01::/64"]),
            gateways: texts(&["10.1.255.1"]),
            ranges: texts(&["10.1.5.0/24"]),
            ..NetworkOptions::default()
        };
        let subnets = options.subnets(&[]).unwrap();
        assert_eq!(subnets[0].gateway.to_string(), "10.1.255.1");
        assert_eq!(subnets[0].range.unwrap().to_string(), "10.1.5.0/24");
        assert_eq!(subnets[1].gateway.to_string(), "fd01::1");
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        /// Subnets, gateways, ranges, and what the error says.
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a str);
        let cases: [Case<'_>; 9] = [
            (&["10.1.2.3"], &[], &[], "invalid subnet 10.1.2.3"),
            (&["10.1.2.3/24"], &[], &[], "it should be 10.1.2.0/24"),
            (&["10.1.2.0/31"], &[], &[], "from 1 to 30"),
            (&["127.0.0.0/8"], &[], &[], "not for networks"),
            (&["10.1.2.0/24", "10.2.0.0/24"], &[], &[], "at most one"),
            (
                &[],
                &["10.1.2.1"],
                &[],
                "no configured subnet contains --gateway",
            ),
            (
                &["10.1.2.0/24"],
                &["10.1.2.0"],
                &[],
                "not an address for a host",
            ),
            (&["10.1.2.0/24"], &[], &["10.1.0.0/16"], "--ip-range"),
            (&["10.9.1.0/24"], &[], &[], "part of network other"),
        ];
        let taken = [("other".to_owned(), "10.9.0.0/16".parse().unwrap())];
        for (subnets, gateways, ranges, reason) in cases {
            let options = NetworkOptions {
                subnets: texts(subnets),
                gateways: texts(gateways),
                ranges: texts(ranges),
                ..NetworkOptions::default()
            };
            let error = options.subnets(&taken).unwrap_err().to_string();
            assert!(error.contains(reason), "{subnets:?}: {error}");
        }
    }
}
