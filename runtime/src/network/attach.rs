//! Connecting: a namespace, and in it a device with addresses for each network.

use std::net::IpAddr;
use std::path::Path;

use super::bridge::Kernel;
use super::device::Device;
use super::endpoint::{self, Endpoint, Lease, mac_text, taken};
use super::error::{Context, Error, Result};
use super::namespace::{Addresses, Namespace, ResolverSockets};
use super::networks::{DEFAULT, Locked, Networks};
use super::subnet::{is_host, mac, next_free};

/// The name under which the addresses that were given out last are kept.
const LAST: &str = "last.json";

/// One network that a container wants to be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Wish {
    /// The network.
    pub network: String,
    /// Further names on it.
    pub aliases: Vec<String>,
    /// `--ip`.
    pub ipv4: Option<std::net::Ipv4Addr>,
    /// `--ip6`.
    pub ipv6: Option<std::net::Ipv6Addr>,
}

/// Who wants to be connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    /// An id of letters and digits, at least 12.
    pub id: &'a str,
    /// A name for people and other containers.
    pub name: &'a str,
}

/// A namespace that is connected, and what keeps its addresses.
#[derive(Debug)]
pub(crate) struct Attached {
    /// The namespace.
    pub namespace: Namespace,
    /// Where its processes ask for names.
    pub resolver: Option<ResolverSockets>,
    /// Its endpoints.
    pub leases: Vec<Lease>,
    /// The host's address on the first network that leads outside.
    pub gateway: Option<IpAddr>,
}

/// Makes a namespace that is connected to these networks. `resolvers` are the host's name servers, which a chosen subnet must not
/// cover.
pub(crate) fn attach(
    root: &Path,
    who: Who<'_>,
    wishes: &[Wish],
    resolver: bool,
    resolvers: &[IpAddr],
) -> Result<Attached> {
    let mut kernel = Kernel::open()?;
    let (namespace, resolver) = Namespace::create(resolver)?;
    let mut attached = Attached {
        namespace,
        resolver,
        leases: Vec::new(),
        gateway: None,
    };
    for wish in wishes {
        match connect(
            root,
            who,
            wish,
            &mut attached.namespace,
            &mut kernel,
            resolvers,
        ) {
            Ok((lease, gateway)) => {
                attached.leases.push(lease);
                attached.gateway = attached.gateway.or(gateway);
            }
            Err(error) => {
                release(root, attached.leases, Some(&mut kernel));
                return Err(error);
            }
        }
    }
    Ok(attached)
}

/// Connects a namespace to one more network; also gives the host's address there, if it leads outside.
pub(crate) fn connect(
    root: &Path,
    who: Who<'_>,
    wish: &Wish,
    namespace: &mut Namespace,
    kernel: &mut Kernel,
    resolvers: &[IpAddr],
) -> Result<(Lease, Option<IpAddr>)> {
    let networks = Networks::of(root);
    if wish.network == DEFAULT {
        networks.default_network()?;
    }
    let mut locked = networks.lock(&wish.network)?;
    let device = locked.bridge(kernel, root, resolvers)?;
    if endpoint::reclaim(locked.directory())? {
        locked.write_rules(kernel)?;
    }
    let mut endpoint = locked.allocate(who, wish)?;
    endpoint.device = namespace.free_name()?;
    let lease = Lease::take(locked.directory(), &wish.network, endpoint)?.ok_or_else(|| {
        Error::Invalid(format!(
            "endpoint with name {} already exists in network {}",
            who.name, wish.network
        ))
    })?;
    match plug(&locked, &lease, namespace, kernel, &device) {
        Ok(()) => {
            let outside = locked.network.subnets.first();
            let outside = outside.filter(|_| !locked.network.internal);
            Ok((lease, outside.map(|one| one.gateway)))
        }
        Err(error) => {
            // What keeps the container from starting is what has to be heard about.
            let _ = lease.release(locked.directory());
            Err(error)
        }
    }
}

/// Gives endpoints back; the rules of those that had ports are written anew. Errors are of no use to anybody: what is left behind
/// belongs to nobody, and the next one to connect forgets it.
pub(crate) fn release(root: &Path, leases: Vec<Lease>, mut kernel: Option<&mut Kernel>) {
    for lease in leases {
        let had_ports = !lease.endpoint.ports.is_empty();
        if let Ok(locked) = Networks::of(root).lock(&lease.network) {
            let _ = lease.release(locked.directory());
            if had_ports && let Some(kernel) = &mut kernel {
                let _ = locked.write_rules(kernel);
            }
        }
    }
}

impl Lease {
    /// Makes ports of the host lead to this endpoint.
    pub(crate) fn publish(
        &mut self,
        root: &Path,
        ports: Vec<crate::container::BoundPort>,
        kernel: &mut Kernel,
    ) -> Result<()> {
        let locked = Networks::of(root).lock(&self.network)?;
        self.endpoint.ports = ports;
        self.save(locked.directory())?;
        locked.write_rules(kernel)
    }
}

fn plug(
    locked: &Locked,
    lease: &Lease,
    namespace: &mut Namespace,
    kernel: &mut Kernel,
    bridge: &Device,
) -> Result<()> {
    let network = &locked.network;
    let mut addresses = Addresses {
        own: Vec::new(),
        gateways: Vec::new(),
    };
    for subnet in &network.subnets {
        let mut own = lease.endpoint.addresses();
        let own = own.find(|address| address.is_ipv4() == subnet.subnet.addr().is_ipv4());
        let Some(own) = own else { continue };
        addresses.own.push((own, subnet.subnet.prefix_len()));
        if !network.internal {
            addresses.gateways.push(subnet.gateway);
        }
    }
    let mac = mac_of(&lease.endpoint)?;
    let outer = outer_name()?;
    namespace.connect(
        &mut kernel.route,
        bridge.index,
        &outer,
        &lease.endpoint.device,
        mac,
        &addresses,
    )
}

/// A name for a bridge's port that nothing else has.
fn outer_name() -> Result<String> {
    let bytes = super::networks::random::<5>()?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("kveth{hex}"))
}

impl Locked {
    /// Chooses addresses that nobody has.
    fn allocate(&self, who: Who<'_>, wish: &Wish) -> Result<Endpoint> {
        let others = self.endpoints()?;
        let path = self.directory().join(LAST);
        let mut last: Vec<IpAddr> = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let used = |address: IpAddr| {
            let gateway = self
                .network
                .subnets
                .iter()
                .any(|one| one.gateway == address);
            gateway
                || others
                    .iter()
                    .any(|other| other.addresses().any(|own| own == address))
        };
        let mut endpoint = Endpoint {
            container: who.id.to_owned(),
            name: who.name.to_owned(),
            aliases: wish.aliases.clone(),
            ipv4: None,
            ipv6: None,
            device: String::new(),
            mac: String::new(),
            ports: Vec::new(),
        };
        let mut wanted: Vec<IpAddr> = wish.ipv4.map(IpAddr::V4).into_iter().collect();
        wanted.extend(wish.ipv6.map(IpAddr::V6));
        for one in &self.network.subnets {
            let v4 = one.subnet.addr().is_ipv4();
            let asked = wanted.iter().position(|address| address.is_ipv4() == v4);
            let address = match asked.map(|index| wanted.swap_remove(index)) {
                Some(address) => self.asked_for(address, one.subnet, &used)?,
                None => {
                    let before = last.iter().copied().find(|address| address.is_ipv4() == v4);
                    let range = one.range.unwrap_or(one.subnet);
                    let next = next_free(one.subnet, range, before, &used).ok_or_else(|| {
                        Error::Invalid(format!(
                            "no address is free in {range} of network {}",
                            self.network.name
                        ))
                    })?;
                    last.retain(|address| address.is_ipv4() != v4);
                    last.push(next);
                    next
                }
            };
            match address {
                IpAddr::V4(address) => endpoint.ipv4 = Some(address),
                IpAddr::V6(address) => endpoint.ipv6 = Some(address),
            }
        }
        if let Some(left) = wanted.first() {
            return Err(Error::Invalid(format!(
                "network {} has no subnet for address {left}",
                self.network.name
            )));
        }
        endpoint.mac = mac_text(match endpoint.ipv4 {
            Some(address) => mac(address),
            None => {
                let [_, b, c, d, e, f] = super::networks::random::<6>()?;
                [0x02, b, c, d, e, f]
            }
        });
        super::networks::write(&path, &last)?;
        Ok(endpoint)
    }

    fn asked_for(
        &self,
        address: IpAddr,
        subnet: ipnet::IpNet,
        used: &dyn Fn(IpAddr) -> bool,
    ) -> Result<IpAddr> {
        let name = &self.network.name;
        if self.network.chosen {
            return Err(Error::Invalid(format!(
                "user specified IP address is supported only when connecting to networks with user configured subnets: network {name} was made without --subnet"
            )));
        }
        if !is_host(subnet, address) {
            return Err(Error::Invalid(format!(
                "address {address} is not in subnet {subnet} of network {name}"
            )));
        }
        if used(address) {
            return Err(taken(address));
        }
        Ok(address)
    }
}

fn mac_of(endpoint: &Endpoint) -> Result<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = endpoint.mac.split(':');
    for byte in &mut mac {
        *byte = parts
            .next()
            .and_then(|part| u8::from_str_radix(part, 16).ok())
            .ok_or(rustix::io::Errno::INVAL)
            .context(|| format!("reading the hardware address {}", endpoint.mac))?;
    }
    Ok(mac)
}
