//! Limits through cgroup v2: a directory that a process is born into.
//!
//! Nothing is ever moved between cgroups: writing to `cgroup.procs` waits for a grace period of the kernel, milliseconds each.
//! Limits need their controller in the v2 hierarchy; on hosts that keep it in v1 the error says which one is missing.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// What a group of processes may use at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of swap, beyond memory.
    pub swap: Option<u64>,
    /// Microseconds of processor time in each period of 100 ms.
    pub cpu_quota: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// The period that [`Limits::cpu_quota`] is about: Docker's and the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// Why limits can't be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// There is no cgroup v2 hierarchy.
    #[error("limits need cgroup v2, which is not mounted on this host")]
    NoHierarchy,
    /// A controller is not available where this process is.
    #[error("limits need the cgroup v2 controller `{controller}`, which {} does not have; {}", .parent.display(), advice(*.elsewhere))]
    NoController {
        /// Its name.
        controller: &'static str,
        /// The cgroup of this process.
        parent: PathBuf,
        /// Whether the host has it in a v1 hierarchy.
        elsewhere: bool,
    },
    /// A file of the hierarchy refused.
    #[error("cannot write {}: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn advice(elsewhere: bool) -> &'static str {
    if elsewhere {
        "this host has it in cgroup v1: boot with `systemd.unified_cgroup_hierarchy=1`"
    } else {
        "have it delegated: `systemctl edit user@.service`, then `[Service] Delegate=cpu cpuset io memory pids`"
    }
}

/// The host's cgroups as this process sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// The directory of this process's own v2 cgroup.
    pub own: Option<PathBuf>,
    /// Controllers that are available there.
    pub controllers: Vec<String>,
    /// Controllers that are mounted as v1 hierarchies.
    pub v1: Vec<String>,
}

impl Hierarchy {
    /// Reads what the kernel says about this process.
    #[must_use]
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut found = Self::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        if let Some(own) = &found.own {
            let controllers =
                fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
            found.controllers = controllers.split_whitespace().map(str::to_owned).collect();
        }
        found
    }

    /// Whether this process is in a cgroup that is not the root of the whole hierarchy.
    #[must_use]
    pub fn is_own(&self) -> bool {
        // The one file that only the real root lacks.
        self.own
            .as_ref()
            .is_some_and(|own| own.join("cgroup.type").exists())
    }

    fn parse(mounts: &str, cgroups: &str) -> Self {
        let path = cgroups
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .unwrap_or("/");
        let mut found = Self::default();
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else {
                continue;
            };
            let kind = after.split(' ').next().unwrap_or_default();
            let mut fields = before.split(' ').skip(3);
            let (Some(root), Some(point)) = (fields.next(), fields.next()) else {
                continue;
            };
            if kind == "cgroup2" && found.own.is_none() {
                // A bind shows a part of the hierarchy only.
                let relative = path
                    .strip_prefix(root)
                    .unwrap_or(path)
                    .trim_start_matches('/');
                found.own = Some(Path::new(point).join(relative));
            } else if kind == "cgroup" {
                let options = after.split(' ').next_back().unwrap_or_default().split(',');
                found.v1.extend(
                    options
                        .filter(|option| CONTROLLERS.contains(option))
                        .map(str::to_owned),
                );
            }
        }
        found
    }
}

/// The controllers that limits use.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// A cgroup that we made. Its processes outlive it; [`Cgroup::remove`] fails while there are any.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: Arc<OwnedFd>,
}

impl Cgroup {
    /// Makes a cgroup below the own one and sets limits on it.
    pub fn create(name: &str, limits: &Limits) -> Result<Self, CgroupError> {
        let hierarchy = Hierarchy::read();
        let parent = hierarchy.own.clone().ok_or(CgroupError::NoHierarchy)?;
        let settings = settings(limits);
        for controller in CONTROLLERS {
            let needed = settings
                .iter()
                .any(|(file, _)| file.starts_with(controller));
            if needed {
                enable(&hierarchy, &parent, controller)?;
            }
        }
        let path = parent.join(name);
        let failed = |file: PathBuf| move |source: io::Error| CgroupError::File { file, source };
        fs::create_dir(&path).map_err(failed(path.clone()))?;
        for (file, value) in settings {
            let file = path.join(file);
            if let Err(source) = fs::write(&file, value) {
                // What was made for nothing goes again; the first error is the one to tell.
                let _ = fs::remove_dir(&path);
                return Err(CgroupError::File { file, source });
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, &path, flags, Mode::empty());
        let directory = directory.map_err(|errno| failed(path.clone())(errno.into()))?;
        Ok(Self {
            path,
            directory: Arc::new(directory),
        })
    }

    /// The directory, for [`crate::Spec::cgroup`].
    #[must_use]
    pub fn directory(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.directory)
    }

    /// Its path on the host.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kills every process in it (5.14).
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Whether the kernel has killed one of its processes for lack of memory.
    #[must_use]
    pub fn out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| {
            line.strip_prefix("oom_kill ")
                .is_some_and(|count| count != "0")
        })
    }

    /// Removes it. The kernel may still be busy with processes that have just ended: then it is `ResourceBusy`.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }
}

/// Files with what is written into them.
fn settings(limits: &Limits) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    settings.extend(limits.memory.map(|bytes| ("memory.max", bytes.to_string())));
    settings.extend(
        limits
            .swap
            .map(|bytes| ("memory.swap.max", bytes.to_string())),
    );
    settings.extend(
        limits
            .cpu_quota
            .map(|quota| ("cpu.max", format!("{quota} {CPU_PERIOD}"))),
    );
    settings.extend(
        limits
            .processes
            .map(|count| ("pids.max", count.to_string())),
    );
    settings
}

fn enable(
    hierarchy: &Hierarchy,
    parent: &Path,
    controller: &'static str,
) -> Result<(), CgroupError> {
    if !hierarchy
        .controllers
        .iter()
        .any(|available| available == controller)
    {
        let elsewhere = hierarchy.v1.iter().any(|available| available == controller);
        return Err(CgroupError::NoController {
            controller,
            parent: parent.to_owned(),
            elsewhere,
        });
    }
    let file = parent.join("cgroup.subtree_control");
    fs::write(&file, format!("+{controller}")).map_err(|source| CgroupError::File { file, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_told_apart() {
        let hybrid = "30 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 1 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      32 1 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchy::parse(hybrid, "4:memory:/x\n0::/a/b\n");
        assert_eq!(
            found.own.as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified/a/b"))
        );
        assert_eq!(found.v1, ["memory"]);
        let part = "32 1 0:29 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchy::parse(part, "0::/a/b\n");
        assert_eq!(found.own.as_deref(), Some(Path::new("/sys/fs/cgroup/b")));
        assert_eq!(Hierarchy::parse("", ""), Hierarchy::default());
    }

    #[test]
    fn limits_become_files() {
        let limits = Limits {
            memory: Some(1 << 20),
            cpu_quota: Some(50_000),
            ..Limits::default()
        };
        let expected = [
            ("memory.max", "1048576".to_owned()),
            ("cpu.max", "50000 100000".to_owned()),
        ];
        assert_eq!(settings(&limits), expected);
    }
}
