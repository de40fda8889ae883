//! What to run: plain values, made by the engine, turned into a launch plan by [`crate::plan`].

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Profile;
use crate::cgroup::Membership;

/// One process in its own root file system.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Layer directories, lowest first, each below the store's root.
    pub lowers: Vec<PathBuf>,
    /// The writable directory on top, below the store's root.
    pub upper: PathBuf,
    /// Overlay's work directory beside `upper`: empty, same file system.
    pub work: PathBuf,
    /// Skips overlay's syncs. An upper used this way can't be mounted as an upper again.
    pub volatile: bool,
    /// Makes the root file system read-only for the process.
    pub read_only_root: bool,
    /// The process itself.
    pub process: Process,
    /// The container's host name.
    pub hostname: String,
    /// Content of `/etc/hosts`, mounted read-only from a private file; `None` leaves the image's.
    pub hosts: Option<Vec<u8>>,
    /// Content of `/etc/resolv.conf`, mounted read-only from a private file; `None` leaves the image's.
    pub resolv_conf: Option<Vec<u8>>,
    /// Mounts `/etc/hostname` read-only from a private file.
    pub hostname_file: bool,
    /// Further mounts, made in order of depth, then in this order.
    pub mounts: Vec<Mount>,
    /// The network that the process sees.
    pub network: Network,
    /// How much the process is confined.
    pub security: Security,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: u64,
    /// The cgroup that the process is born into, see [`crate::cgroup::Cgroup::membership`].
    pub cgroup: Option<Membership>,
    /// Kernel settings of its namespaces: path below `/proc/sys` and value.
    pub settings: Vec<(String, String)>,
    /// How readily the kernel ends it when memory is short; a value that may not be set is left out.
    pub oom_score_adj: Option<i32>,
    /// Puts a process of ours in front that reaps orphans and passes signals on.
    pub init: bool,
    /// Namespaces that it does not have for itself.
    pub shared: Shared,
}

/// Namespaces that a process does not have for itself.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Whose processes it sees.
    pub processes: Processes,
    /// Shared memory and message queues are the host's.
    pub host_ipc: bool,
    /// The host name is the host's, and stays as it is.
    pub host_name: bool,
}

/// The process namespace of a process.
#[derive(Debug, Clone, Default)]
pub enum Processes {
    /// One of its own, which ends with it.
    #[default]
    Own,
    /// The host's.
    Host,
    /// That of the process behind this pidfd.
    Of(Arc<OwnedFd>),
}

impl Spec {
    /// Size of `/dev/shm` unless asked for otherwise: Docker's default.
    pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

    /// A spec with Docker's defaults over the given directories.
    #[must_use]
    pub fn new(lowers: Vec<PathBuf>, upper: PathBuf, work: PathBuf, process: Process) -> Self {
        Self {
            lowers,
            upper,
            work,
            volatile: true,
            read_only_root: false,
            process,
            hostname: "kiln".to_owned(),
            hosts: None,
            resolv_conf: None,
            hostname_file: true,
            mounts: Vec::new(),
            network: Network::Host,
            security: Security::Sandbox,
            seccomp: Seccomp::Default,
            shm_size: Self::DEFAULT_SHM_SIZE,
            cgroup: None,
            settings: Vec::new(),
            oom_score_adj: None,
            init: false,
            shared: Shared::default(),
        }
    }
}

/// What is known of a container before it is asked for, see [`crate::Launcher::start_for_container`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// See [`Spec::network`].
    pub network: Network,
    /// See [`Spec::security`].
    pub security: Security,
    /// See [`Spec::shm_size`].
    pub shm_size: u64,
}

/// A process to execute: program, environment and credentials. The environment is exactly this; nothing is inherited.
#[derive(Debug, Clone)]
pub struct Process {
    /// Program and arguments. A program without a slash is looked up in `PATH` of `env`, inside the container.
    pub argv: Vec<Vec<u8>>,
    /// `NAME=value` entries.
    pub env: Vec<Vec<u8>>,
    /// Absolute working directory; must exist.
    pub cwd: Vec<u8>,
    /// User and groups.
    pub user: Ids,
    /// The capability bounding set, and what a root process holds.
    pub capabilities: Capabilities,
    /// Forbids gaining privileges by executing set-user-id programs.
    pub no_new_privileges: bool,
    /// The AppArmor profile that the program runs in; `None` stays in that of the caller.
    pub apparmor: Option<AppArmor>,
    /// Limits to set, clamped to this process's hard limits where it may not raise them.
    pub rlimits: Vec<Rlimit>,
}

impl Process {
    /// A process run as root in `/` with Docker's capabilities.
    #[must_use]
    pub fn new(argv: Vec<Vec<u8>>, env: Vec<Vec<u8>>) -> Self {
        Self {
            argv,
            env,
            cwd: b"/".to_vec(),
            user: Ids::default(),
            capabilities: Capabilities::DOCKER,
            no_new_privileges: false,
            apparmor: None,
            rlimits: Vec::new(),
        }
    }
}

/// A profile of AppArmor's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppArmor {
    /// Its name; it has to be loaded.
    pub profile: String,
    /// Whether the program is not to run without it. Otherwise a profile that is not loaded any more is done without.
    pub required: bool,
}

/// Numeric user, group and supplementary groups, as the container sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Ids {
    /// All groups of `setgroups(2)`: the supplementary ones and the primary one, which a set-group-id program would
    /// otherwise shed (CVE-2022-36109).
    pub fn all_groups(&self) -> Vec<u32> {
        let mut groups = vec![self.gid];
        groups.extend(self.groups.iter().filter(|group| **group != self.gid));
        groups
    }
}

/// A set of capabilities, one bit each, bit number as in `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u64);

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// Which resource.
    pub resource: Resource,
    /// Soft limit; `u64::MAX` is unlimited.
    pub soft: u64,
    /// Hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// The resources that can be limited. Values are the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Resource {
    Cpu = 0,
    FileSize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Processes = 6,
    OpenFiles = 7,
    LockedMemory = 8,
    AddressSpace = 9,
    Locks = 10,
    PendingSignals = 11,
    MessageQueues = 12,
    Nice = 13,
    RealTimePriority = 14,
    RealTimeTime = 15,
}

/// One mount inside the container. The target is resolved inside the root file system; missing components are created in
/// the upper directory and taken out again after the step, if the step left them as they were.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Absolute path in the container.
    pub target: Vec<u8>,
    /// What is mounted.
    pub source: MountSource,
    /// Makes the mount read-only.
    pub read_only: bool,
    /// Forbids executing programs from it.
    pub no_exec: bool,
    /// Whether mounts made below it later are seen on the other side.
    pub propagation: Propagation,
}

/// How a mount and the one that it is a copy of tell each other about mounts made below them (`mount_namespaces(7)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Not at all.
    #[default]
    Private,
    /// The container sees what the host mounts.
    Slave,
    /// Both see what the other mounts.
    Shared,
}

impl Propagation {
    /// Reads docker's word, with or without the `r` of a recursive one: mounts below always follow.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "private" | "rprivate" => Some(Self::Private),
            "slave" | "rslave" => Some(Self::Slave),
            "shared" | "rshared" => Some(Self::Shared),
            _ => None,
        }
    }

    /// Docker's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Private => "rprivate",
            Self::Slave => "rslave",
            Self::Shared => "rshared",
        }
    }

    /// The kernel's flag for `mount_setattr`.
    pub(crate) fn flag(self) -> u64 {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
        }
    }
}

/// What a [`Mount`] shows.
#[derive(Debug, Clone)]
pub enum MountSource {
    /// A detached mount, see [`MountSource::detach`]. It can be used for one launch only.
    Detached {
        /// The mount.
        mount: Arc<OwnedFd>,
        /// Whether its root is a directory.
        directory: bool,
    },
    /// A file or directory below the store's root. Nothing but the store's owner may be able to change that path.
    Store(PathBuf),
    /// A new tmpfs.
    Tmpfs {
        /// Largest size in bytes, if limited.
        size: Option<u64>,
        /// Mode of its root directory.
        mode: u32,
        /// User and group of its root directory.
        owner: (u32, u32),
    },
    /// A read-only private file with this content.
    Content(Vec<u8>),
    /// A device node of the host, which can be opened: a detached mount of it.
    Device(Arc<OwnedFd>),
}

/// The network of a process.
#[derive(Debug, Clone)]
pub enum Network {
    /// The host's, with abstract sockets out of reach where the kernel has Landlock scopes.
    Host,
    /// An own network namespace with nothing but loopback.
    None,
    /// A network namespace that is there already.
    Joined(Arc<OwnedFd>),
}

impl PartialEq for Network {
    /// Namespaces are compared by their descriptors.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Host, Self::Host) | (Self::None, Self::None) => true,
            (Self::Joined(one), Self::Joined(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Network {}

/// How much a process is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// As Docker does by default.
    Sandbox,
    /// No seccomp filter, no masked or read-only paths, all capabilities that we hold.
    Insecure,
}

/// The system call filter of a process.
#[derive(Debug, Clone, PartialEq)]
pub enum Seccomp {
    /// Docker's default profile.
    Default,
    /// A profile of the user's.
    Custom(Arc<Profile>),
    /// No filter.
    Unconfined,
}

/// Where the process's standard streams go.
#[derive(Debug)]
pub enum Stdio {
    /// Three open files.
    Files {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new pseudo terminal of the container's own devpts. Its master end arrives on this socket as one `SCM_RIGHTS`
    /// descriptor with one byte.
    Terminal {
        /// A connected Unix socket.
        socket: OwnedFd,
        /// Size set before the program starts.
        size: WindowSize,
    },
}

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// A further process in a running container (`exec`).
#[derive(Debug, Clone)]
pub struct Join {
    /// The process itself.
    pub process: Process,
    /// How much it is confined: as the container is.
    pub security: Security,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// The network that the container was started with.
    pub network: Network,
    /// The other namespaces that it does not have for itself.
    pub shared: Shared,
    /// The container's cgroup.
    pub cgroup: Option<Membership>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
}

impl Exit {
    /// The exit code that a shell would show: 128 + n for signal n.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Whether the process ended with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}
