//! Which cgroup hierarchies the host has, and where this process is in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Controller;

/// The host's cgroups as this process sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// The directory of this process's own v2 cgroup.
    pub own: Option<PathBuf>,
    /// Where the v2 hierarchy is mounted.
    pub mount: Option<PathBuf>,
    /// Controllers that are available in the own v2 cgroup.
    pub controllers: Vec<String>,
    /// Controllers that are mounted as v1 hierarchies.
    pub v1: Vec<String>,
    /// The directory of this process's own cgroup in each of those.
    pub(super) own_v1: BTreeMap<&'static str, PathBuf>,
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

    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub(super) fn parse(mounts: &str, cgroups: &str) -> Self {
        let path_of = |wanted: &str| {
            cgroups.lines().find_map(|line| {
                let (names, path) = line.split_once(':')?.1.split_once(':')?;
                names
                    .split(',')
                    .any(|name| name == wanted)
                    .then_some(path.to_owned())
            })
        };
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
            // A bind shows a part of the hierarchy only.
            let below = |path: &str| {
                let relative = path.strip_prefix(root).unwrap_or(path);
                Path::new(point).join(relative.trim_start_matches('/'))
            };
            if kind == "cgroup2" && found.own.is_none() {
                found.own = Some(below(path_of("").as_deref().unwrap_or("/")));
                found.mount = Some(PathBuf::from(point));
            } else if kind == "cgroup" {
                let options: Vec<_> = after
                    .split(' ')
                    .next_back()
                    .unwrap_or_default()
                    .split(',')
                    .collect();
                for name in Controller::ALL.map(Controller::name) {
                    if options.contains(&name) && !found.own_v1.contains_key(name) {
                        found.v1.push(name.to_owned());
                        let path = path_of(name);
                        found
                            .own_v1
                            .insert(name, below(path.as_deref().unwrap_or("/")));
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_told_apart() {
        let hybrid = "30 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 1 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      33 1 0:30 /ci /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      32 1 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchy::parse(hybrid, "4:memory:/x\n3:cpu,cpuacct:/ci/job\n0::/a/b\n");
        assert_eq!(
            found.own.as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified/a/b"))
        );
        assert_eq!(found.v1, ["memory", "cpu"]);
        assert_eq!(found.own_v1["memory"], Path::new("/sys/fs/cgroup/memory/x"));
        assert_eq!(
            found.own_v1["cpu"],
            Path::new("/sys/fs/cgroup/cpu,cpuacct/job")
        );
        let part = "32 1 0:29 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchy::parse(part, "0::/a/b\n");
        assert_eq!(found.own.as_deref(), Some(Path::new("/sys/fs/cgroup/b")));
        assert_eq!(Hierarchy::parse("", ""), Hierarchy::default());
    }
}
