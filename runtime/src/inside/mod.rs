//! What a process can see and do where it runs: the same questions inside a container of ours and of another engine, so that the
//! answers can be compared.
//!
//! Nothing is changed. System calls are tried in processes of their own, with arguments that do no harm when they are let through.

mod calls;
mod files;

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use crate::Capabilities;
pub use calls::Calls;
pub use files::{Device, MountPoint};

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inside {
    /// Capability sets by the kernel's names: `CapEff` and so on.
    pub capabilities: BTreeMap<String, Vec<String>>,
    /// Whether privileges can't be gained.
    pub no_new_privileges: bool,
    /// Mode of the system call filter: 0 none, 2 a filter.
    pub seccomp: u32,
    /// System calls.
    pub calls: Calls,
    /// Mounts by target.
    pub mounts: BTreeMap<String, MountPoint>,
    /// Paths that are usually hidden or protected, and how they are.
    pub paths: BTreeMap<String, String>,
    /// Soft and hard limits.
    pub limits: BTreeMap<String, (String, String)>,
    /// Open descriptors above the standard ones.
    pub descriptors: Vec<String>,
    /// The number of this process in its own process namespace.
    pub process_id: u32,
    /// Lines of the user and group id maps.
    pub id_maps: BTreeMap<String, Vec<String>>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Entries of `/dev`.
    pub devices: BTreeMap<String, Device>,
    /// Settings below `/proc/sys` that engines change.
    pub settings: BTreeMap<String, String>,
    /// Further facts of `/proc/self`.
    pub process: BTreeMap<String, String>,
    /// Network devices.
    pub network_devices: Vec<String>,
    /// What connecting to an abstract socket answers, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstract_socket: Option<String>,
}

/// Settings that engines change for a container, or that show another namespace.
const SETTINGS: [&str; 6] = [
    "fs/mqueue/msg_max",
    "kernel/domainname",
    "kernel/shmmni",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
];

impl Inside {
    /// Looks around, and asks the abstract socket of this name. The process must have one thread.
    #[must_use]
    pub fn look(abstract_socket: Option<&str>) -> Self {
        let status = read("/proc/self/status");
        let field = |name: &str| -> String {
            let value = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        let set = |name: &str| {
            let bits = u64::from_str_radix(&field(name), 16).unwrap_or_default();
            (name.to_owned(), Capabilities(bits).names())
        };
        let lines = |path: &str| -> Vec<String> {
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            read(path).lines().map(words).collect()
        };
        let process = [
            ("umask", field("Umask")),
            ("blocked signals", field("SigBlk")),
            ("ignored signals", field("SigIgn")),
            ("oom_score_adj", read("/proc/self/oom_score_adj")),
            ("personality", read("/proc/self/personality")),
            ("cgroup", cgroup_paths()),
            ("apparmor", read("/proc/self/attr/current")),
            ("session keyring", session_keyring()),
        ];
        Self {
            capabilities: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
                .map(set)
                .into(),
            no_new_privileges: field("NoNewPrivs") == "1",
            seccomp: field("Seccomp").parse().unwrap_or_default(),
            calls: Calls::attempt(),
            mounts: files::mounts(),
            paths: files::guarded_paths(),
            limits: limits(),
            descriptors: descriptors(),
            process_id: std::process::id(),
            id_maps: ["uid_map", "gid_map", "setgroups"]
                .map(|name| (name.to_owned(), lines(&format!("/proc/self/{name}"))))
                .into(),
            groups: field("Groups")
                .split_whitespace()
                .filter_map(|group| group.parse().ok())
                .collect(),
            devices: files::devices(),
            settings: SETTINGS
                .map(|name| {
                    let value = fs::read_to_string(format!("/proc/sys/{name}"));
                    let value = value.unwrap_or_else(|error| error.kind().to_string());
                    (name.to_owned(), value.trim().replace('\t', " "))
                })
                .into(),
            process: process
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .into(),
            network_devices: network_devices(),
            abstract_socket: abstract_socket.map(connect),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn connect(name: &str) -> String {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name);
    let connected =
        address.and_then(|address| std::os::unix::net::UnixStream::connect_addr(&address));
    match connected {
        Ok(_) => "connected".to_owned(),
        Err(error) => error.kind().to_string(),
    }
}

/// The paths of all cgroups, each once.
fn cgroup_paths() -> String {
    let text = read("/proc/self/cgroup");
    let mut paths: Vec<&str> = text
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths.join(" ")
}

/// What asking for the session keyring answers.
fn session_keyring() -> String {
    /// `KEYCTL_GET_KEYRING_ID` and `KEY_SPEC_SESSION_KEYRING` of `linux/keyctl.h`.
    const GET_ID: i64 = 0;
    const SESSION: i64 = -3;
    calls::answer(crate::sys::attempt::call(
        libc::SYS_keyctl,
        [GET_ID, SESSION, 0],
    ))
}

fn limits() -> BTreeMap<String, (String, String)> {
    /// The name is a column of this width.
    const NAME: usize = 26;
    let text = read("/proc/self/limits");
    let limit = |line: &str| {
        let (name, rest) = line.split_at_checked(NAME)?;
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some((name.trim().to_owned(), (words.next()?, words.next()?)))
    };
    text.lines().skip(1).filter_map(limit).collect()
}

fn descriptors() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|entry| {
            let number = entry.file_name().to_string_lossy().parse::<u32>();
            number.is_ok_and(|number| number > 2)
        })
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        // The one that this list is read with.
        .filter(|target| !target.ends_with("/fd"))
        .collect();
    found.sort();
    found
}

fn network_devices() -> Vec<String> {
    let text = read("/proc/self/net/dev");
    let names = text.lines().filter_map(|line| line.split_once(':'));
    let mut names: Vec<_> = names.map(|(name, _)| name.trim().to_owned()).collect();
    names.sort();
    names
}
