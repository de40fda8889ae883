//! The bridge of a network in the kernel, with its addresses and rules: found, made, restored, removed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustix::io::Errno;

use super::device::{Device, NAME_LIMIT};
use super::error::{Context, Error, Result};
use super::forwarding;
use super::netlink::Socket;
use super::networks::{DEFAULT, Locked, Network, Networks, Subnet, random};
use super::rules::{Chain, GUARD, Table, chains, guard};
use super::subnet::{choose_v4, choose_v6, first_host, overlap};

/// Longest note on a device (`IFALIASZ` without its final zero byte).
const ALIAS_LIMIT: usize = 255;
/// Bridges of default networks that one machine has at most: one per store.
const DEFAULT_BRIDGES: usize = 1000;

/// The connections to the kernel that bridges need.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Devices, addresses and routes.
    pub route: Socket,
    /// Packet rules.
    pub table: Table,
}

impl Kernel {
    /// Connects to the kernel's side of this thread's namespace.
    pub(crate) fn open() -> Result<Self> {
        let describe = || "opening a netlink socket".to_owned();
        Ok(Self {
            route: Socket::route().context(describe)?,
            table: Table::open().map_err(|errno| refused("nf_tables", errno))?,
        })
    }

    fn has_guard(&mut self) -> Result<bool> {
        let chains = self.table.chains();
        let chains = chains.map_err(|errno| refused("nf_tables", errno))?;
        Ok(chains.iter().any(|name| name == GUARD))
    }
}

impl Locked {
    /// Finds the network's bridge, or makes it. `resolvers` are addresses that a chosen subnet must not cover.
    pub(super) fn bridge(
        &mut self,
        kernel: &mut Kernel,
        root: &Path,
        resolvers: &[IpAddr],
    ) -> Result<Device> {
        if let Some(device) = self.existing(kernel, root)? {
            if !kernel
                .table
                .is_in_place(&self.chains()?)
                .map_err(|errno| refused("nf_tables", errno))?
            {
                self.write_rules(kernel)?;
            }
            return Ok(device);
        }
        sweep(kernel)?;
        self.choose_subnets(kernel, resolvers)?;
        let device = self.make(kernel, root)?;
        let ipv6 = self
            .network
            .subnets
            .iter()
            .any(|one| one.subnet.addr().is_ipv6());
        let was_off = forwarding::enable(ipv6)?;
        self.network.guards = was_off || kernel.has_guard()?;
        self.save()?;
        for Subnet {
            subnet, gateway, ..
        } in &self.network.subnets
        {
            kernel
                .route
                .add_address(device.index, *gateway, subnet.prefix_len())
                .context(|| format!("giving {} the address {gateway}", device.name))?;
        }
        self.write_rules(kernel)?;
        Ok(device)
    }

    fn existing(&self, kernel: &mut Kernel, root: &Path) -> Result<Option<Device>> {
        if self.network.bridge.is_empty() {
            return Ok(None);
        }
        let describe = || format!("looking for {}", self.network.bridge);
        let device = kernel
            .route
            .device(&self.network.bridge)
            .context(describe)?;
        let alias = alias(&self.network, root);
        Ok(device.filter(|device| device.alias.as_deref() == Some(&alias)))
    }

    /// Subnets that nothing else on this machine uses, unless the user chose them.
    fn choose_subnets(&mut self, kernel: &mut Kernel, resolvers: &[IpAddr]) -> Result<()> {
        let routes = kernel
            .route
            .routes()
            .context(|| "listing the host's routes".to_owned())?;
        let mut taken: Vec<IpNet> = routes.iter().map(|route| route.destination).collect();
        let clash = |subnet: &Subnet, taken: &[IpNet]| {
            taken
                .iter()
                .copied()
                .find(|other| overlap(subnet.subnet, *other))
        };
        if !self.network.chosen {
            return match self
                .network
                .subnets
                .iter()
                .find_map(|one| Some((one.subnet, clash(one, &taken)?)))
            {
                Some((subnet, other)) => Err(Error::Invalid(format!(
                    "subnet {subnet} of network {} overlaps with {other}, which the host has another route to",
                    self.network.name
                ))),
                None => Ok(()),
            };
        }
        let ipv6 = self.network.ipv6 && forwarding::has_ipv6();
        taken.extend(resolvers.iter().copied().map(IpNet::from));
        let fits = |subnet: &Subnet| {
            clash(subnet, &taken).is_none() && (ipv6 || subnet.subnet.addr().is_ipv4())
        };
        let count = 1 + usize::from(ipv6);
        if self.network.subnets.len() == count && self.network.subnets.iter().all(fits) {
            return Ok(());
        }
        let bytes = random::<16>()?;
        let start = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let v4 = choose_v4(start, &taken).ok_or_else(|| {
            Error::Invalid("no private IPv4 subnet is free: name one with --subnet".to_owned())
        })?;
        let v6 = ipv6.then(|| IpNet::V6(choose_v6(bytes)));
        let subnets = [Some(IpNet::V4(v4)), v6].into_iter().flatten();
        self.network.subnets = subnets
            .map(|subnet| Subnet {
                subnet,
                gateway: first_host(subnet),
                range: None,
            })
            .collect();
        Ok(())
    }

    /// Makes the device; that of a default network gets the first free number.
    fn make(&mut self, kernel: &mut Kernel, root: &Path) -> Result<Device> {
        let alias = alias(&self.network, root);
        let own = (self.network.name != DEFAULT).then(|| self.network.bridge.clone());
        let numbered = (0..DEFAULT_BRIDGES).map(|number| format!("kiln{number}"));
        let names: Vec<String> = match own {
            Some(name) => vec![name],
            None => numbered.collect(),
        };
        for name in names {
            debug_assert!(name.len() <= NAME_LIMIT);
            match kernel.route.add_bridge(&name, &alias) {
                Ok(()) => {
                    let describe = || format!("looking for {name}");
                    let device = kernel.route.device(&name).context(describe)?;
                    let device = device.ok_or(Errno::NODEV).context(describe)?;
                    self.network.bridge = name;
                    return Ok(device);
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(refused("bridges", errno)),
            }
        }
        Err(Error::Invalid(format!(
            "no name is free for the bridge of network {}",
            self.network.name
        )))
    }

    /// The rules that the network should have at present.
    pub(super) fn chains(&self) -> Result<Vec<Chain>> {
        let endpoints = self.endpoints()?;
        let published: Vec<_> = endpoints.iter().flat_map(|one| one.published()).collect();
        let subnets: Vec<_> = self.network.subnets.iter().map(|one| one.subnet).collect();
        let mut chains = chains(
            &self.network.bridge,
            &subnets,
            self.network.internal,
            &published,
        );
        if self.network.guards {
            chains.push(guard());
        }
        Ok(chains)
    }

    /// Puts the rules in place that the network should have at present.
    pub(super) fn write_rules(&self, kernel: &mut Kernel) -> Result<()> {
        kernel
            .table
            .replace(&self.chains()?)
            .map_err(|errno| refused("nf_tables rules for `inet` tables", errno))
    }
}

/// Puts a network's rules back if somebody removed them.
pub(crate) fn restore_rules(root: &Path, network: &str, kernel: &mut Kernel) -> Result<()> {
    let table = &mut kernel.table;
    let locked = Networks::of(root).lock(network)?;
    let chains = locked.chains()?;
    let describe = || format!("restoring the rules of network {network}");
    if !table.is_in_place(&chains).context(describe)? {
        table.replace(&chains).context(describe)?;
    }
    Ok(())
}

/// Removes the bridge and the rules of a network, as far as they are there.
pub(super) fn remove(network: &Network, root: &Path) -> Result<()> {
    if network.bridge.is_empty() {
        return Ok(());
    }
    let mut kernel = Kernel::open()?;
    let describe = || format!("removing {}", network.bridge);
    let device = kernel.route.device(&network.bridge).context(describe)?;
    let alias = alias(network, root);
    if let Some(device) = device.filter(|device| device.alias.as_deref() == Some(&alias)) {
        kernel.table.remove(&network.bridge).context(describe)?;
        kernel.route.remove_device(device.index).context(describe)?;
    }
    Ok(())
}

/// Removes bridges of stores that are no more. One that something is connected to is left alone.
fn sweep(kernel: &mut Kernel) -> Result<()> {
    let describe = || "listing the host's devices".to_owned();
    let devices = kernel.route.devices().context(describe)?;
    for device in &devices {
        let Some(directory) = device.alias.as_deref().and_then(directory_of) else {
            continue;
        };
        let used = devices.iter().any(|port| port.master == Some(device.index));
        if !used && !directory.exists() {
            // Another command may sweep at the same moment.
            let _ = kernel.table.remove(&device.name);
            let _ = kernel.route.remove_device(device.index);
        }
    }
    Ok(())
}

/// The note on a bridge: which network of which store it belongs to.
fn alias(network: &Network, root: &Path) -> String {
    let directory = root.join("networks").join(&network.name);
    let mut alias = format!("kiln:{}:{}", &network.id[..16], directory.display());
    if alias.len() > ALIAS_LIMIT {
        // Such a bridge is known again, but never swept.
        alias = format!("kiln:{}", &network.id[..16]);
    }
    alias
}

fn directory_of(alias: &str) -> Option<PathBuf> {
    let (_, directory) = alias.strip_prefix("kiln:")?.split_once(':')?;
    Some(directory.into())
}

/// What the kernel's refusal means to the user.
fn refused(what: &str, errno: Errno) -> Error {
    match errno {
        Errno::PERM | Errno::ACCESS => Error::Unavailable(format!(
            "the host's network can't be changed here ({what}): CAP_NET_ADMIN is missing"
        )),
        Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::NOENT => {
            Error::Unavailable(format!("this kernel has no {what}"))
        }
        errno => Error::Io {
            operation: format!("setting up {what}"),
            source: errno.into(),
        },
    }
}
