//! The launch plan: everything that a child does between clone and exec, decided beforehand.
//!
//! A plan is a plain value. [`container`] and [`join`] make one from a spec without touching the system, so that what a
//! launch does can be read, compared and tested anywhere. The child ([`crate::child`]) runs the operations in order.

mod confine;
mod container;
mod mounts;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::owners::Recording;
use crate::wire::{Bytes, wire_enum, wire_struct};
pub(crate) use confine::join;
pub(crate) use container::{container, hold_root, hold_root_of, preparation};

/// What the engine knows of the place where plans are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// The store's root as specs name it.
    pub store_root: PathBuf,
    /// Overlay keeps its attributes as `user.overlay.*`.
    pub user_xattrs: bool,
    /// How many processors have a thermal throttle directory in sysfs, to be masked.
    pub throttled_processors: u32,
    /// Whether there is one id alone, so that owners have to be recorded.
    pub single_id: bool,
    /// Whether this process is in a cgroup of its own, so that a view of it shows nothing of the host.
    pub own_cgroup: bool,
}

/// A launch plan, and the descriptors that its operations name by index.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// The descriptors.
    pub fds: Vec<Arc<OwnedFd>>,
}

/// What a child does between clone and exec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Namespaces made by the clone, as `CLONE_NEW*` flags.
    pub namespaces: u64,
    /// Index of a container's first process (a pidfd), to be born into its pid namespace.
    pub inside: Option<u32>,
    /// Index of the cgroup v2 directory to be born into.
    pub cgroup: Option<u32>,
    /// Whether the child ends with its parent.
    pub ends_with_parent: bool,
    /// Private files that operations show by index.
    pub contents: Vec<Bytes>,
    /// The operations, in order.
    pub operations: Vec<Operation>,
    /// How many of the first operations need nothing but the namespaces: a child may have done them before its plan is known.
    pub ahead: u32,
    /// The program.
    pub program: Program,
    /// What a process beside this one writes down of owners. Its socket comes after the other descriptors.
    pub owners: Option<Recording>,
    /// Whether to report when each operation was done.
    pub timed: bool,
}
wire_struct!(Plan {
    namespaces,
    inside,
    cgroup,
    ends_with_parent,
    contents,
    operations,
    ahead,
    program,
    owners,
    timed
});

impl Plan {
    /// The part that can be done before the rest is known; none if there is no such part.
    pub(crate) fn preparation(&self) -> Option<Preparation> {
        let operations = self.operations.get(..self.ahead as usize)?.to_vec();
        (!operations.is_empty()).then_some(Preparation {
            namespaces: self.namespaces,
            operations,
        })
    }
}

/// What a child can do before its plan is known. Plans that begin with the same can be given to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preparation {
    /// Namespaces made by the clone.
    pub namespaces: u64,
    /// The operations, in order.
    pub operations: Vec<Operation>,
}
wire_struct!(Preparation {
    namespaces,
    operations
});

/// The program that the plan ends in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// Paths to try in order.
    pub candidates: Vec<CString>,
    /// Arguments, the first being the program as it was asked for.
    pub argv: Vec<CString>,
    /// The whole environment.
    pub env: Vec<CString>,
}
wire_struct!(Program {
    candidates,
    argv,
    env
});

/// One operation of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Moves the process into cgroups of v1, whose `cgroup.procs` these are, and with `namespace` makes them the root of what it
    /// sees of cgroups.
    Cgroup { moves: Vec<u32>, namespace: bool },
    /// Mounts the overlay as the new root.
    Overlay { overlay: Overlay },
    /// Mounts a procfs, beside the root for the time being.
    Proc,
    /// Mounts a sysfs beside the root, and in it a view of the own cgroup, or an empty directory where it would show the host's.
    Sys { read_only: bool, cgroup: bool },
    /// Mounts a tmpfs with the standard nodes beside the root, and devpts, shm and mqueue in it.
    Dev { shm_size: u64 },
    /// Mounts something on a path of the container.
    Mount {
        target: CString,
        source: Source,
        read_only: bool,
        no_exec: bool,
        propagation: u64,
    },
    /// Moves procfs, sysfs and the device nodes onto `/proc`, `/sys` and `/dev` of the root.
    Assemble,
    /// Makes namespaces of its own.
    Unshare { namespaces: i32 },
    /// Enters a network namespace.
    Network { namespace: u32 },
    /// Brings loopback up.
    Loopback,
    /// Writes a namespaced kernel setting, if there is one of that name.
    Sysctl { path: CString, value: CString },
    /// Hides paths below `/proc` or `/sys`.
    Mask {
        root: KernelRoot,
        paths: Vec<CString>,
    },
    /// Writes what the user asked for below `/proc`; what `required` does not need may be refused.
    Setting {
        path: CString,
        value: CString,
        required: bool,
    },
    /// Sends the root over a socket and keeps its mounts until the other end is closed. The program is never executed.
    HoldRoot { socket: u32 },
    /// Becomes a process that reaps orphans and passes signals on to a child, which goes on.
    Init,
    /// Makes paths below `/proc` read-only.
    ReadOnlyPaths {
        root: KernelRoot,
        paths: Vec<CString>,
    },
    /// Makes the root mount read-only.
    ReadOnlyRoot,
    /// Sets the host name.
    Hostname { name: CString },
    /// Switches to the new root and drops everything else.
    Pivot,
    /// Enters the namespaces of the container's first process.
    Enter { init: u32, namespaces: i32 },
    /// Makes a terminal of the container's devpts, sends its master end over `socket`, takes it as standard streams and, with
    /// `bind`, shows it as `/dev/console`.
    Console {
        socket: u32,
        rows: u16,
        columns: u16,
        bind: bool,
        owner: u32,
    },
    /// Takes three descriptors as standard streams.
    Stdio {
        stdin: u32,
        stdout: u32,
        stderr: u32,
        owner: u32,
    },
    /// Starts a session with an own keyring and usual file mode mask.
    Session,
    /// Sets resource limits.
    Limits { limits: Vec<Limit> },
    /// Goes to the working directory.
    Directory { path: CString },
    /// Has the program run in a profile of AppArmor's; without `required` only if it is loaded.
    AppArmor { profile: CString, required: bool },
    /// Puts abstract sockets outside out of reach.
    Scope,
    /// Forbids gaining privileges by exec.
    NoNewPrivileges,
    /// Loads a system call filter.
    Filter { program: Bytes },
    /// Loads a filter that asks about owners and identities, and sends its descriptor over `socket`.
    Owners { program: Bytes, socket: u32 },
    /// Fails: what a test asks for in the place of an operation.
    Fail { name: CString, errno: i32 },
    /// Takes on user, groups and capabilities; with `recorded`, capabilities alone.
    Credentials {
        recorded: bool,
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
        capabilities: u64,
    },
}
wire_enum!(Operation {
    0 => Fail { name, errno },
    1 => Proc,
    2 => Sys { read_only, cgroup },
    3 => Dev { shm_size },
    4 => Mount { target, source, read_only, no_exec, propagation },
    5 => Loopback,
    6 => Sysctl { path, value },
    7 => Mask { root, paths },
    8 => ReadOnlyPaths { root, paths },
    9 => ReadOnlyRoot,
    10 => Hostname { name },
    11 => Pivot,
    12 => Enter { init, namespaces },
    13 => Console { socket, rows, columns, bind, owner },
    14 => Stdio { stdin, stdout, stderr, owner },
    15 => Session,
    16 => Limits { limits },
    17 => Directory { path },
    18 => Scope,
    19 => NoNewPrivileges,
    20 => Filter { program },
    21 => Credentials { recorded, uid, gid, groups, capabilities },
    22 => Overlay { overlay },
    23 => Cgroup { moves, namespace },
    24 => Assemble,
    25 => Setting { path, value, required },
    26 => Init,
    27 => Network { namespace },
    28 => HoldRoot { socket },
    29 => Unshare { namespaces },
    30 => AppArmor { profile, required },
    31 => Owners { program, socket },
});

/// The root file system: all paths are in the zygote's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// Layers, topmost first, as overlay takes them.
    pub lowers: Vec<CString>,
    /// The writable directory.
    pub upper: CString,
    /// Its work directory.
    pub work: CString,
    /// No syncs.
    pub volatile: bool,
    /// Attributes as `user.overlay.*`.
    pub user_xattrs: bool,
}
wire_struct!(Overlay {
    lowers,
    upper,
    work,
    volatile,
    user_xattrs
});

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The detached mount with this index.
    Detached { fd: u32, directory: bool },
    /// A path below the store, in the zygote's mount namespace.
    Path { path: CString },
    /// A new tmpfs.
    Tmpfs {
        size: u64,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// The private file with this index.
    Content { index: u32 },
    /// The detached mount of a device node with this index.
    Device { fd: u32 },
}
wire_enum!(Source {
    1 => Detached { fd, directory },
    2 => Path { path },
    3 => Tmpfs { size, mode, uid, gid },
    4 => Content { index },
    5 => Device { fd },
});

/// One of the kernel's own file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelRoot {
    /// procfs
    Proc,
    /// sysfs
    Sys,
}
wire_enum!(KernelRoot { 1 => Proc, 2 => Sys });

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The kernel's number of the resource.
    pub resource: u32,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}
wire_struct!(Limit {
    resource,
    soft,
    hard
});

impl Operation {
    /// What the operation does, in a word or two.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Cgroup { .. } => "cgroup",
            Self::Overlay { .. } => "overlay",
            Self::Proc => "proc",
            Self::Sys { .. } => "sys and cgroup",
            Self::Dev { .. } => "dev",
            Self::Assemble => "assembly",
            Self::Mount { .. } => "mounts",
            Self::Unshare { .. } => "namespaces",
            Self::Network { .. } => "network",
            Self::Loopback => "loopback",
            Self::Sysctl { .. } => "settings",
            Self::Setting { .. } => "settings",
            Self::Init => "init",
            Self::HoldRoot { .. } => "root",
            Self::Mask { .. } => "masked paths",
            Self::ReadOnlyPaths { .. } => "read-only paths",
            Self::ReadOnlyRoot => "read-only root",
            Self::Hostname { .. } => "host name",
            Self::Pivot => "root switch",
            Self::Enter { .. } => "enter namespaces",
            Self::Console { .. } | Self::Stdio { .. } => "streams",
            Self::Session => "session",
            Self::Limits { .. } => "limits",
            Self::Directory { .. } => "working directory",
            Self::Scope => "landlock",
            Self::AppArmor { .. } => "apparmor",
            Self::NoNewPrivileges => "no new privileges",
            Self::Filter { .. } => "seccomp",
            Self::Fail { .. } => "a fault",
            Self::Owners { .. } => "owners",
            Self::Credentials { .. } => "credentials",
        }
    }
}
