//! Endpoints: who is connected to a network, and that each address has one owner.
//!
//! An endpoint lives as long as its lock file is locked. The lock belongs to the open file, which travels from the command that
//! makes an endpoint to the monitor that keeps it; it is free when the last holder has gone, however it went.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;
use serde::{Deserialize, Serialize};

use super::error::{Context, Error, Result};
use super::networks::{parse, write};
use super::rules::Published;
use crate::container::BoundPort;
use crate::sys_lock;

/// The record of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// The container's id, or that of a build step.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Further names on this network.
    pub aliases: Vec<String>,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its other address.
    pub ipv6: Option<Ipv6Addr>,
    /// Its device in the container.
    pub device: String,
    /// Its hardware address, as text.
    pub mac: String,
    /// Ports of the host that lead to it.
    pub ports: Vec<BoundPort>,
}

impl Endpoint {
    /// Whether it answers to this name, in lower case.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        /// Digits of a short id.
        const SHORT: usize = 12;
        let own = [self.name.as_str(), &self.container];
        let short = self.container.get(..SHORT);
        let mut names = own.into_iter().chain(short);
        names.any(|own| own.eq_ignore_ascii_case(name))
            || self
                .aliases
                .iter()
                .any(|alias| alias.eq_ignore_ascii_case(name))
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.ipv4.map(IpAddr::V4);
        v4.into_iter().chain(self.ipv6.map(IpAddr::V6))
    }

    /// What the rules have to know of its ports.
    pub(crate) fn published(&self) -> Vec<Published> {
        let to = |port: &BoundPort| {
            let address = match port.host.ip() {
                IpAddr::V4(_) => self.ipv4.map(IpAddr::V4),
                IpAddr::V6(_) => self.ipv6.map(IpAddr::V6),
            };
            Some(Published {
                host: port.host,
                protocol: port.container.protocol,
                container: (address?, port.container.number).into(),
            })
        };
        self.ports.iter().filter_map(to).collect()
    }
}

/// A held endpoint.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The network's name.
    pub network: String,
    /// What others see of it.
    pub endpoint: Endpoint,
    lock: File,
}

impl Lease {
    /// Takes the place of an endpoint in the network at `directory`; `None` if the container has one there already.
    pub(super) fn take(
        directory: &Path,
        network: &str,
        endpoint: Endpoint,
    ) -> Result<Option<Self>> {
        let path = file(directory, &endpoint.container, "lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .context(|| format!("opening {}", path.display()))?;
        let describe = || format!("locking {}", path.display());
        if !sys_lock::try_exclusive(&lock).context(describe)? {
            return Ok(None);
        }
        let lease = Self {
            network: network.to_owned(),
            endpoint,
            lock,
        };
        lease.save(directory)?;
        Ok(Some(lease))
    }

    /// The endpoint that was taken by another process, which passes its lock on.
    pub(crate) fn received(
        directory: &Path,
        network: &str,
        container: &str,
        lock: OwnedFd,
    ) -> Result<Self> {
        let path = file(directory, container, "json");
        let bytes = fs::read(&path).context(|| format!("reading {}", path.display()))?;
        Ok(Self {
            network: network.to_owned(),
            endpoint: parse(&path, &bytes)?,
            lock: lock.into(),
        })
    }

    /// Writes the record as it is now.
    pub(crate) fn save(&self, directory: &Path) -> Result<()> {
        write(
            &file(directory, &self.endpoint.container, "json"),
            &self.endpoint,
        )
    }

    /// Gives the endpoint back. The network has to be locked.
    pub(super) fn release(self, directory: &Path) -> Result<()> {
        forget(directory, &self.endpoint.container)
    }

    /// The lock, to be passed on to who keeps the endpoint from now on.
    pub(crate) fn into_lock(self) -> OwnedFd {
        self.lock.into()
    }
}

/// The endpoint of one container, if it is connected.
pub(super) fn find(directory: &Path, container: &str) -> Result<Option<Endpoint>> {
    if !is_live(directory, container)? {
        return Ok(None);
    }
    let path = file(directory, container, "json");
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => parse(
            &path,
            &other.context(|| format!("reading {}", path.display()))?,
        )
        .map(Some),
    }
}

/// All endpoints that somebody holds.
pub(super) fn live(directory: &Path) -> Result<Vec<Endpoint>> {
    let mut found = Vec::new();
    for container in recorded(directory)? {
        found.extend(find(directory, &container)?);
    }
    Ok(found)
}

/// Forgets endpoints that nobody holds; whether one of them had ports. The network has to be locked.
pub(super) fn reclaim(directory: &Path) -> Result<bool> {
    let mut had_ports = false;
    for container in recorded(directory)? {
        if !is_live(directory, &container)? {
            let path = file(directory, &container, "json");
            let endpoint = fs::read(&path)
                .ok()
                .and_then(|bytes| parse::<Endpoint>(&path, &bytes).ok());
            had_ports |= endpoint.is_none_or(|endpoint| !endpoint.ports.is_empty());
            forget(directory, &container)?;
        }
    }
    Ok(had_ports)
}

fn forget(directory: &Path, container: &str) -> Result<()> {
    for kind in ["json", "lock"] {
        let path = file(directory, container, kind);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The containers that have a record.
fn recorded(directory: &Path) -> Result<Vec<String>> {
    let endpoints = directory.join("endpoints");
    let describe = || format!("reading {}", endpoints.display());
    let mut containers = Vec::new();
    let entries = match fs::read_dir(&endpoints) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(containers),
        other => other.context(describe)?,
    };
    for entry in entries {
        let name = entry.context(describe)?.file_name();
        let container = name.to_str().and_then(|name| name.strip_suffix(".json"));
        containers.extend(container.map(str::to_owned));
    }
    Ok(containers)
}

fn is_live(directory: &Path, container: &str) -> Result<bool> {
    let path = file(directory, container, "lock");
    // For writing, because the question is about a write lock.
    match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(lock) => {
            let describe = || format!("looking at the lock {}", path.display());
            let there = fstat(&lock).context(describe)?.st_nlink > 0;
            Ok(there && sys_lock::is_locked(&lock).context(describe)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context(|| format!("opening {}", path.display())),
    }
}

fn file(directory: &Path, container: &str, kind: &str) -> PathBuf {
    directory
        .join("endpoints")
        .join(format!("{container}.{kind}"))
}

/// The text of a hardware address.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    let parts: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

/// The wish for an address that another has.
pub(super) fn taken(address: IpAddr) -> Error {
    Error::Invalid(format!("Address already in use: {address}"))
}
