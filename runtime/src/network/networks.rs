//! The networks of a store: their records, and what is done with them by name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::bridge;
use super::endpoint::{self, Endpoint};
use super::error::{Context, Error, Result};
use super::options::NetworkOptions;
use crate::container::Moment;

/// The name of the network that containers are connected to unless they ask for another: docker's.
pub const DEFAULT: &str = "bridge";

/// Words that mean something else than a network of that name.
const RESERVED: [&str; 5] = ["none", "host", "default", "container", "private"];
/// Longest name: a directory is called so.
const NAME_LIMIT: usize = 200;
const RECORD: &str = "network.json";

/// The record of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Moment,
    /// The device; empty until the first container needs it.
    pub bridge: String,
    /// Its subnets: none until the first container needs them, unless they were asked for.
    pub subnets: Vec<Subnet>,
    /// Whether the subnets were chosen for it, and may be chosen again where they collide with another network.
    pub chosen: bool,
    /// Lets nothing out.
    pub internal: bool,
    /// Has IPv6 addresses too, where the machine has IPv6.
    pub ipv6: bool,
    /// Whether the machine forwarded nothing before, and forwards nothing for others now.
    #[serde(default)]
    pub guards: bool,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
}

/// A subnet of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Addresses and length.
    pub subnet: IpNet,
    /// The host's own address in it.
    pub gateway: IpAddr,
    /// The part that addresses are given out of, if not all.
    pub range: Option<IpNet>,
}

/// All networks of a store.
#[derive(Clone, Debug)]
pub struct Networks {
    root: PathBuf,
}

/// A network whose bridge, rules and addresses only we change.
#[derive(Debug)]
pub(crate) struct Locked {
    /// The network.
    pub network: Network,
    directory: PathBuf,
    _lock: File,
}

impl Networks {
    /// The networks of the store at `root`. Touches nothing.
    pub fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Makes a network. Its bridge appears with its first container.
    pub fn create(&self, name: &str, options: &NetworkOptions) -> Result<Network> {
        check_name(name)?;
        if name == DEFAULT || self.read(name)?.is_some() {
            return Err(Error::Exists(name.to_owned()));
        }
        let taken: Vec<(String, IpNet)> = self
            .list()?
            .iter()
            .flat_map(|network| {
                let name = network.name.clone();
                let subnets = network.subnets.iter();
                subnets.map(move |subnet| (name.clone(), subnet.subnet))
            })
            .collect();
        let subnets = options.subnets(&taken)?;
        let id = random_id()?;
        let network = Network {
            bridge: format!("kiln-{}", &id[..10]),
            id,
            name: name.to_owned(),
            created: Moment::now(),
            chosen: subnets.is_empty(),
            subnets,
            internal: options.internal,
            ipv6: options.ipv6.unwrap_or(true),
            guards: false,
            labels: options.labels.clone(),
        };
        self.add(&network)?;
        Ok(network)
    }

    /// The network that containers are connected to unless they ask for another, made at its first use.
    pub(crate) fn default_network(&self) -> Result<Network> {
        if let Some(network) = self.read(DEFAULT)? {
            return Ok(network);
        }
        let network = Network {
            id: random_id()?,
            name: DEFAULT.to_owned(),
            created: Moment::now(),
            bridge: String::new(),
            subnets: Vec::new(),
            chosen: true,
            internal: false,
            ipv6: true,
            guards: false,
            labels: BTreeMap::new(),
        };
        match self.add(&network) {
            Ok(()) => Ok(network),
            Err(Error::Exists(_)) => self.find(DEFAULT),
            Err(error) => Err(error),
        }
    }

    /// Writes the record of a new network under a temporary name and brings it into place.
    fn add(&self, network: &Network) -> Result<()> {
        let making = self
            .root
            .join("tmp")
            .join(format!("network-{}", &network.id[..16]));
        let describe = || format!("making network {}", network.name);
        fs::create_dir_all(making.join("endpoints")).context(describe)?;
        write(&making.join(RECORD), network)?;
        let place = self.directory(&network.name);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).context(describe)?;
        }
        // A directory that is not empty is never replaced.
        match fs::rename(&making, &place) {
            Err(_) if place.exists() => {
                fs::remove_dir_all(&making).context(describe)?;
                Err(Error::Exists(network.name.clone()))
            }
            other => other.context(describe),
        }
    }

    /// The networks, sorted by name.
    pub fn list(&self) -> Result<Vec<Network>> {
        let directory = self.root.join("networks");
        let mut networks = Vec::new();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(networks),
            other => other.context(|| format!("reading {}", directory.display()))?,
        };
        for entry in entries {
            let entry = entry.context(|| format!("reading {}", directory.display()))?;
            if let Some(name) = entry.file_name().to_str()
                && let Some(network) = self.read(name)?
            {
                networks.push(network);
            }
        }
        networks.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(networks)
    }

    /// The network with this name, or whose id begins so.
    pub fn find(&self, name: &str) -> Result<Network> {
        if check_name(name).is_ok()
            && let Some(network) = self.read(name)?
        {
            return Ok(network);
        }
        if name == DEFAULT {
            return self.default_network();
        }
        let mut found = self.list()?;
        found.retain(|network| !name.is_empty() && network.id.starts_with(name));
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Error::NotFound(name.to_owned())),
            _ => Err(Error::Invalid(format!(
                "several networks have an id that begins with {name}; give more digits"
            ))),
        }
    }

    /// Removes a network that nothing is connected to, with its bridge and rules.
    pub fn remove(&self, name: &str) -> Result<()> {
        if name == DEFAULT {
            return Err(Error::Invalid(format!(
                "network {DEFAULT} is a pre-defined network and cannot be removed"
            )));
        }
        self.take_down(name)
    }

    /// The same, also for the default network.
    pub fn take_down(&self, name: &str) -> Result<()> {
        let locked = self.lock(name)?;
        let endpoints = locked.endpoints()?;
        if !endpoints.is_empty() {
            let names: Vec<_> = endpoints.iter().map(|one| one.name.as_str()).collect();
            return Err(Error::Invalid(format!(
                "error while removing network: network {name} has active endpoints ({})",
                names.join(", ")
            )));
        }
        bridge::remove(&locked.network, &self.root)?;
        let dying = self
            .root
            .join("tmp")
            .join(format!("network-{}", &locked.network.id[..16]));
        let describe = || format!("removing network {name}");
        fs::rename(&locked.directory, &dying).context(describe)?;
        // It is gone for everybody by now; what can't be deleted lies in tmp/, which is swept.
        fs::remove_dir_all(&dying).context(describe)
    }

    /// Who is connected to a network at present.
    pub(crate) fn endpoints(&self, name: &str) -> Result<Vec<Endpoint>> {
        endpoint::live(&self.directory(name))
    }

    /// What a container is connected to at present, by network.
    pub(crate) fn endpoints_of(&self, container: &str) -> Result<Vec<(Network, Endpoint)>> {
        let mut found = Vec::new();
        for network in self.list()? {
            let directory = self.directory(&network.name);
            if let Some(endpoint) = endpoint::find(&directory, container)? {
                found.push((network, endpoint));
            }
        }
        Ok(found)
    }

    /// A network and who is connected to it, in docker's shape.
    pub fn inspect(&self, network: &Network) -> Result<Value> {
        let length = |v4: bool| {
            let mut subnets = network.subnets.iter().map(|one| one.subnet);
            let subnet = subnets.find(|subnet| subnet.addr().is_ipv4() == v4);
            subnet.map_or(0, |subnet| subnet.prefix_len())
        };
        let mut containers = Map::new();
        for one in self.endpoints(&network.name)? {
            let address = |address: Option<IpAddr>, v4: bool| {
                address.map_or_else(String::new, |address| format!("{address}/{}", length(v4)))
            };
            let value = json!({
                "Name": one.name,
                "EndpointID": one.container,
                "MacAddress": one.mac,
                "IPv4Address": address(one.ipv4.map(IpAddr::V4), true),
                "IPv6Address": address(one.ipv6.map(IpAddr::V6), false),
            });
            containers.insert(one.container, value);
        }
        let subnet = |one: &Subnet| {
            let mut value = json!({ "Subnet": one.subnet, "Gateway": one.gateway });
            if let Some(range) = one.range {
                value["IPRange"] = json!(range);
            }
            value
        };
        Ok(json!({
            "Name": network.name,
            "Id": network.id,
            "Created": network.created.rfc3339(),
            "Scope": "local",
            "Driver": "bridge",
            "EnableIPv6": network.ipv6,
            "IPAM": {
                "Driver": "default",
                "Options": {},
                "Config": network.subnets.iter().map(subnet).collect::<Vec<_>>(),
            },
            "Internal": network.internal,
            "Attachable": false,
            "Ingress": false,
            "ConfigFrom": { "Network": "" },
            "ConfigOnly": false,
            "Containers": containers,
            "Options": { "com.docker.network.bridge.name": network.bridge },
            "Labels": network.labels,
        }))
    }

    /// Waits until nobody else changes the network.
    pub(crate) fn lock(&self, name: &str) -> Result<Locked> {
        check_name(name)?;
        let directory = self.directory(name);
        let path = directory.join("lock");
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound(name.to_owned()));
            }
            other => other.context(|| format!("opening {}", path.display()))?,
        };
        while let Err(errno) = flock(&file, FlockOperation::LockExclusive) {
            if errno != rustix::io::Errno::INTR {
                return Err(errno).context(|| format!("locking {}", path.display()));
            }
        }
        // It may have been removed while we waited.
        let network = self
            .read(name)?
            .ok_or_else(|| Error::NotFound(name.to_owned()))?;
        Ok(Locked {
            network,
            directory,
            _lock: file,
        })
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.root.join("networks").join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Network>> {
        let path = self.directory(name).join(RECORD);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => parse(
                &path,
                &other.context(|| format!("reading {}", path.display()))?,
            )
            .map(Some),
        }
    }
}

impl Locked {
    /// Writes the record as it is now.
    pub(crate) fn save(&self) -> Result<()> {
        write(&self.directory.join(RECORD), &self.network)
    }

    /// The network's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who is connected at present.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>> {
        endpoint::live(&self.directory)
    }
}

/// Checks that a network can be called so.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let good = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && name.len() <= NAME_LIMIT;
    if !good {
        return Err(Error::Invalid(format!(
            "invalid network name \"{name}\": letters, digits, `_`, `.` and `-` are allowed, the first a letter or digit"
        )));
    }
    if RESERVED.contains(&name) {
        return Err(Error::Invalid(format!(
            "operation is not permitted on predefined {name} network"
        )));
    }
    Ok(())
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Damaged {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

/// Replaces a small file by rename, readable by its owner alone.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::Invalid(error.to_string()))?;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        fs::rename(&temporary, path)
    };
    write().context(|| format!("writing {}", path.display()))
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    crate::container::fill_random(&mut bytes).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(bytes)
}

fn random_id() -> Result<String> {
    let bytes = random::<32>()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
