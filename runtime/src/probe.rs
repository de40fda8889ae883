//! What this host allows, as plain values: each rung of isolation with the knob that is missing for it.

use std::fs;
use std::path::Path;

use rustix::io::Errno;

use crate::Capabilities;
use crate::cgroup::Hierarchy;
use crate::sys;
use crate::userns::{self, EnterOptions, Tried};

/// Everything that decides how steps can be run here.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// Whether this process is root of its user namespace.
    pub root: bool,
    /// Whether it is in a user namespace other than the first one.
    pub user_namespace: bool,
    /// Whether it may mount and make namespaces.
    pub may_mount: bool,
    /// Whether an outer container hides parts of procfs, so that namespaces get none of their own.
    pub masked_proc: bool,
    /// Whether all ids but one are missing in its user namespace.
    pub single_id: bool,
    /// Whether it may raise hard resource limits.
    pub may_raise_limits: bool,
    /// How many subordinate user ids the user has, or what is missing.
    pub subordinate_ids: Result<u32, String>,
    /// Nothing, or the setting that keeps users from making user namespaces.
    pub user_namespaces: Result<(), String>,
    /// Whether the kernel has overlay, as far as it tells without mounting one.
    pub overlay: bool,
    /// The version of Landlock, see [`landlock_version`].
    pub landlock: u32,
    /// Cgroups.
    pub cgroups: Hierarchy,
    /// Calls that have fallbacks.
    pub calls: Vec<Call>,
}

/// A newer system call, and whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// The version of Linux that brought it.
    pub since: &'static str,
    /// Whether it can be called; an outer container's filter may hide it.
    pub present: bool,
}

/// The way in which steps run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    /// As root.
    Root,
    /// In a user namespace with subordinate ids.
    SubordinateIds,
    /// In a user namespace without other ids than the user's own: owners are recorded. Says what is missing.
    SingleId(String),
    /// Not at all: builds that only copy files still work. Says what is missing.
    CopyOnly(String),
}

impl Host {
    /// Looks at the host and changes nothing. Must be called while the process has one thread: what nothing tells has to be tried, in
    /// a process of its own.
    #[must_use]
    pub fn look(options: &EnterOptions) -> Self {
        let permitted = rustix::thread::capabilities(None).map_or(0, |sets| sets.effective.bits());
        let holds = |name: &str| {
            Capabilities::named(name).is_some_and(|one| Capabilities(permitted).contains(one))
        };
        let (user_namespaces, masked_proc) = match userns::refused_by() {
            Some(knob) => (Err(knob), false),
            None => match userns::try_namespace() {
                Ok(tried) => (Ok(()), tried == Tried::WithoutProc),
                Err(refusal) => (Err(refusal), false),
            },
        };
        Self {
            masked_proc,
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            root: rustix::process::geteuid().is_root(),
            user_namespace: in_user_namespace(),
            may_mount: may_mount(),
            single_id: has_single_id(),
            may_raise_limits: holds("SYS_RESOURCE"),
            subordinate_ids: userns::subordinate_ids(options).map_err(|error| error.to_string()),
            user_namespaces,
            overlay: has_overlay(),
            landlock: landlock_version(),
            cgroups: Hierarchy::read(),
            calls: calls(),
        }
    }

    /// How steps run here.
    #[must_use]
    pub fn rung(&self) -> Rung {
        match (self.root, self.may_mount, &self.user_namespaces, &self.subordinate_ids) {
            (true, true, _, _) if self.single_id => Rung::SingleId(
                "this user namespace has one id alone: the outer one should map more".to_owned(),
            ),
            (true, true, _, _) => Rung::Root,
            (true, false, _, _) => Rung::CopyOnly(
                "this root may not mount: the outer container needs CAP_SYS_ADMIN, or run as a user with subordinate ids".to_owned(),
            ),
            (false, _, Err(knob), _) => Rung::CopyOnly(knob.clone()),
            (false, _, Ok(()), Err(missing)) => Rung::SingleId(missing.clone()),
            (false, _, Ok(()), Ok(_)) => Rung::SubordinateIds,
        }
    }
}

/// Whether this process runs in a user namespace other than the first one.
#[must_use]
pub fn in_user_namespace() -> bool {
    // The first namespace maps all ids onto themselves.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let fields: Vec<&str> = map.split_whitespace().collect();
    fields != ["0", "0", "4294967295"]
}

/// Whether the user namespace of this process has one user id and no other.
#[must_use]
pub fn has_single_id() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().skip(2).eq(["1"])
}

/// Whether this process may mount: `CAP_SYS_ADMIN`.
#[must_use]
pub fn may_mount() -> bool {
    let sets = rustix::thread::capabilities(None);
    sets.is_ok_and(|sets| {
        sets.effective
            .contains(rustix::thread::CapabilitySet::SYS_ADMIN)
    })
}

/// The version of Landlock in this kernel; 0 if there is none. Version 6 keeps a step on the host's network from the host's
/// abstract sockets.
#[must_use]
pub fn landlock_version() -> u32 {
    sys::filter::landlock_version()
}

/// Overlay may be a module that is loaded when it is first used.
fn has_overlay() -> bool {
    let listed = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    listed.lines().any(|line| line.ends_with("\toverlay"))
        || Path::new("/lib/modules")
            .join(release)
            .join("kernel/fs/overlayfs")
            .is_dir()
}

/// Each call is made with arguments that it refuses.
fn calls() -> Vec<Call> {
    let call = |name, since, number| {
        let present = sys::probe_call(number) != Errno::NOSYS;
        Call {
            name,
            since,
            present,
        }
    };
    vec![
        call("fsopen", "5.2", libc::SYS_fsopen),
        call("clone3", "5.3", libc::SYS_clone3),
        call("openat2", "5.6", libc::SYS_openat2),
        call("close_range", "5.9", libc::SYS_close_range),
        call("mount_setattr", "5.12", libc::SYS_mount_setattr),
        call(
            "landlock_create_ruleset",
            "5.13",
            libc::SYS_landlock_create_ruleset,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_names_a_rung() {
        let host = Host::look(&EnterOptions::default());
        assert!(!host.kernel.is_empty());
        assert!(host.calls.iter().all(|call| !call.name.is_empty()));
        let root = host.root && host.may_mount && !host.single_id;
        assert_eq!(root, host.rung() == Rung::Root);
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut host = Host::look(&EnterOptions::default());
        host.root = false;
        host.user_namespaces = Ok(());
        host.subordinate_ids = Err("no ids".to_owned());
        assert_eq!(host.rung(), Rung::SingleId("no ids".to_owned()));
        host.subordinate_ids = Ok(65536);
        assert_eq!(host.rung(), Rung::SubordinateIds);
        host.user_namespaces = Err("a knob".to_owned());
        assert_eq!(host.rung(), Rung::CopyOnly("a knob".to_owned()));
    }
}
