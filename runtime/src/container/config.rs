//! What a container is: `config.json`, written once at its creation.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kiln_store::{DiffId, Digest, ImageId};
use serde::{Deserialize, Serialize};

use super::error::{Context, Error, Result};
use super::id::ContainerId;
use super::log::LogLimits;
use super::policy::{DeviceConfig, HealthConfig, LogDriver, RestartPolicy};
use super::ports::{ContainerPort, PortMapping};
use super::shared::{NamespaceMode, SHARED_MEMORY};
use super::state::{Moment, write_atomically};
use crate::cgroup::Limits;
use crate::network::Wish;
use crate::{AppArmor, Propagation};

/// The name of the file.
const FILE: &str = "config.json";

/// The unchanging part of a container's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Its identity.
    pub id: ContainerId,
    /// Its name, reserved while it exists.
    pub name: String,
    /// When it was made.
    pub created: Moment,
    /// What it was made from.
    pub image: ImageOrigin,
    /// The process that it runs.
    pub process: ProcessConfig,
    /// Its host name.
    pub hostname: String,
    /// Names added to `/etc/hosts`.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Name servers and options instead of the host's.
    pub dns: DnsConfig,
    /// Its network.
    pub network: NetworkMode,
    /// The networks that it is connected to, with [`NetworkMode::Networks`].
    #[serde(default)]
    pub(crate) connections: Vec<Wish>,
    /// The container whose network it shares, with [`NetworkMode::Container`].
    #[serde(default)]
    pub network_container: Option<String>,
    /// Whose processes it sees.
    #[serde(default)]
    pub pid: NamespaceMode,
    /// Whose shared memory and message queues it has.
    #[serde(default)]
    pub ipc: NamespaceMode,
    /// Whose host name it has.
    #[serde(default)]
    pub uts: NamespaceMode,
    /// Ports published on the host.
    pub ports: Vec<PortMapping>,
    /// Ports that the image or `--expose` names.
    pub exposed_ports: Vec<ContainerPort>,
    /// Volumes, binds and tmpfs.
    pub mounts: Vec<MountConfig>,
    /// Labels of the image and of the command line.
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end.
    pub stop_signal: i32,
    /// Seconds before `stop` kills; the command's default when absent.
    pub stop_timeout: Option<u32>,
    /// Removes it when it ends.
    pub auto_remove: bool,
    /// Makes its root file system read-only.
    pub read_only: bool,
    /// Size of `/dev/shm`.
    pub shm_size: u64,
    /// All capabilities, no filter, no masks.
    pub privileged: bool,
    /// No system call filter.
    pub seccomp_unconfined: bool,
    /// A system call filter of the user's, in Docker's JSON.
    #[serde(default)]
    pub seccomp_profile: Option<String>,
    /// Its profile of AppArmor's.
    #[serde(default)]
    pub apparmor: Option<AppArmor>,
    /// How large its log may grow.
    pub log: LogLimits,
    /// What becomes of its output.
    #[serde(default)]
    pub log_driver: LogDriver,
    /// When it is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// What tells whether it is well.
    #[serde(default)]
    pub health: Option<HealthConfig>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// How readily the kernel ends it when memory is short.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
    /// Puts a process in front that reaps orphans.
    #[serde(default)]
    pub init: bool,
    /// Device nodes of the host.
    #[serde(default)]
    pub devices: Vec<DeviceConfig>,
    /// Kernel settings of its namespaces.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Notes for other programs.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// `--cap-add`, `--cap-drop`, `--group-add` and `--security-opt` as they were given.
    #[serde(default)]
    pub given: Given,
}

/// Flags whose words `inspect` repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--group-add`.
    pub groups: Vec<String>,
    /// `--security-opt`.
    pub security: Vec<String>,
}

/// The image of a container, as it was when the container was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageOrigin {
    /// What the user called it.
    pub reference: String,
    /// Its manifest.
    pub manifest: Digest,
    /// Its configuration.
    pub id: ImageId,
    /// Its layers, lowest first.
    pub layers: Vec<DiffId>,
}

/// The first process of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// The entry point, if any.
    pub entrypoint: Vec<String>,
    /// The command, or the entry point's arguments.
    pub command: Vec<String>,
    /// `NAME=value`, complete.
    pub env: Vec<String>,
    /// The working directory.
    pub cwd: String,
    /// The user as it was asked for; empty is root.
    pub user: String,
    /// The same in numbers.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// The user's home in the image, for `HOME`.
    pub home: String,
    /// Runs on a terminal.
    pub terminal: bool,
    /// Keeps standard input open.
    pub open_stdin: bool,
    /// Closes standard input with its first client.
    pub stdin_once: bool,
    /// Bits of the capability bounding set.
    pub capabilities: u64,
    /// Forbids gaining privileges.
    pub no_new_privileges: bool,
    /// Resource (the kernel's number), soft and hard limit.
    pub rlimits: Vec<(u32, u64, u64)>,
}

impl ProcessConfig {
    /// Program and arguments.
    pub fn argv(&self) -> Vec<String> {
        self.entrypoint
            .iter()
            .chain(&self.command)
            .cloned()
            .collect()
    }
}

/// The network of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The default bridge, or as [`NetworkMode::Private`] where this machine has none.
    #[default]
    Default,
    /// An own namespace with loopback; published ports are carried in by the monitor.
    Private,
    /// An own namespace with loopback and nothing else.
    None,
    /// The host's.
    Host,
    /// Networks by name.
    Networks,
    /// That of another container.
    Container,
}

impl NetworkMode {
    /// Whether ports of the host lead to it.
    pub(crate) fn publishes(self) -> bool {
        matches!(self, Self::Default | Self::Private | Self::Networks)
    }

    /// Docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Host => "host",
            Self::Private => "private",
            Self::Networks => "networks",
            Self::Container => "container",
        }
    }
}

/// What `/etc/resolv.conf` says instead of the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// `--dns`.
    pub servers: Vec<String>,
    /// `--dns-search`.
    pub search: Vec<String>,
    /// `--dns-option`.
    pub options: Vec<String>,
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountConfig {
    /// Absolute path inside.
    pub target: String,
    /// What is mounted there.
    pub source: MountOrigin,
    /// No writing.
    pub read_only: bool,
    /// No executing.
    pub no_exec: bool,
    /// Mounts below a bind come along.
    #[serde(default = "yes")]
    pub recursive: bool,
    /// Whether later mounts below it are seen on both sides.
    #[serde(default)]
    pub propagation: Propagation,
}

fn yes() -> bool {
    true
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum MountOrigin {
    /// A path of the host.
    Bind {
        /// The path.
        path: PathBuf,
    },
    /// A volume of the store.
    Volume {
        /// Its name.
        name: String,
        /// Made for this container alone, and removed with it by `--rm` and `rm -v`.
        anonymous: bool,
        /// The part of it that is shown, if not all.
        #[serde(default)]
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
        /// Mode of its root.
        mode: u32,
        /// User and group of its root.
        #[serde(default)]
        owner: (u32, u32),
    },
}

impl Config {
    /// Reads the configuration of the container at `directory`.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let bytes = fs::read(&path).context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
            path: path.display().to_string(),
            reason: error.to_string(),
        })
    }

    /// What the user asked to be mounted: without what stands for `--ipc host`.
    pub(crate) fn shown_mounts(&self) -> impl Iterator<Item = &MountConfig> {
        let hidden = (self.ipc == NamespaceMode::Host).then_some(SHARED_MEMORY);
        let mounts = self.mounts.iter();
        mounts.filter(move |mount| {
            let source = MountOrigin::Bind {
                path: mount.target.clone().into(),
            };
            Some(mount.target.as_str()) != hidden || mount.source != source
        })
    }

    /// Writes it; once.
    pub(crate) fn write(&self, directory: &Path, durable: bool) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::Invalid(error.to_string()))?;
        write_atomically(&directory.join(FILE), &bytes, durable)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A container as the tests need one.
    pub(crate) fn sample() -> Config {
        let digest = Digest::sha256(b"image");
        Config {
            id: ContainerId::random().unwrap(),
            name: "sample".to_owned(),
            created: Moment(1_700_000_000_000_000_000),
            image: ImageOrigin {
                reference: "debian".to_owned(),
                manifest: digest,
                id: ImageId(digest),
                layers: vec![DiffId(digest)],
            },
            process: ProcessConfig {
                entrypoint: vec!["/entry".to_owned()],
                command: vec!["argument".to_owned()],
                env: vec!["A=1".to_owned()],
                cwd: "/".to_owned(),
                user: String::new(),
                uid: 0,
                gid: 0,
                groups: Vec::new(),
                home: "/root".to_owned(),
                terminal: false,
                open_stdin: false,
                stdin_once: false,
                capabilities: crate::Capabilities::DOCKER.0,
                no_new_privileges: false,
                rlimits: Vec::new(),
            },
            hostname: "box".to_owned(),
            extra_hosts: Vec::new(),
            dns: DnsConfig::default(),
            network: NetworkMode::Default,
            connections: Vec::new(),
            network_container: None,
            pid: NamespaceMode::Private,
            ipc: NamespaceMode::Private,
            uts: NamespaceMode::Private,
            ports: Vec::new(),
            exposed_ports: Vec::new(),
            mounts: Vec::new(),
            labels: BTreeMap::new(),
            stop_signal: 15,
            stop_timeout: None,
            auto_remove: false,
            read_only: false,
            shm_size: 64 << 20,
            privileged: false,
            seccomp_unconfined: false,
            seccomp_profile: None,
            apparmor: None,
            log: LogLimits::default(),
            log_driver: LogDriver::default(),
            restart: RestartPolicy::default(),
            health: None,
            limits: Limits::default(),
            oom_score_adj: None,
            init: false,
            devices: Vec::new(),
            sysctls: BTreeMap::new(),
            annotations: BTreeMap::new(),
            given: Given::default(),
        }
    }

    #[test]
    fn the_file_round_trips() {
        let directory = tempfile::tempdir().unwrap();
        let config = sample();
        config.write(directory.path(), false).unwrap();
        assert_eq!(Config::read(directory.path()).unwrap(), config);
    }
}
