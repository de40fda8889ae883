//! How many steps run at once when nobody says.

use std::path::{Path, PathBuf};

/// What a step is thought to need: compilers and package managers stay below it more often than not.
const STEP_MEMORY: u64 = 512 << 20;
/// At least so many where memory allows: stages that wait for a network or a clock cost no processor.
const AT_LEAST: usize = 4;

/// The number for this machine.
pub fn default_jobs() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    jobs(processors, available_memory(Path::new("/")))
}

/// Steps wait for disks and networks about as much as they compute, so two for each processor, but only as many as memory has
/// room for.
fn jobs(processors: usize, memory: Option<u64>) -> usize {
    let wanted = (2 * processors).max(AT_LEAST);
    match memory.map(|bytes| usize::try_from(bytes / STEP_MEMORY).unwrap_or(usize::MAX)) {
        Some(room) => wanted.min(room.max(1)),
        None => wanted,
    }
}

/// Memory that can still be had: of the machine, or below the limits of the cgroups that this process is in.
fn available_memory(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok();
    let machine = text.as_deref().and_then(of_machine);
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limited = group_directories(&groups)
        .into_iter()
        .filter_map(|directory| of_group(&root.join(directory)));
    machine.into_iter().chain(limited).min()
}

/// `MemAvailable` of proc_meminfo(5), which counts what caches would give back.
fn of_machine(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// The directories of the cgroups of proc_pid_cgroup(5) that may limit memory, each with those above it.
fn group_directories(text: &str) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let mount = match controllers {
            "" => "sys/fs/cgroup",
            list if list.split(',').any(|one| one == "memory") => "sys/fs/cgroup/memory",
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        // A group outside of the namespace is shown with `..`, and its directory is not there.
        if group.components().any(|part| part.as_os_str() == "..") {
            continue;
        }
        let all = group.ancestors().map(|above| Path::new(mount).join(above));
        directories.extend(all);
    }
    directories
}

/// What a group may still take, if it is limited: the files of version 2, then those of version 1.
fn of_group(directory: &Path) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(directory.join(name)).ok()?;
        text.trim().parse().ok()
    };
    for (limit, usage) in [
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ] {
        // `max` is no number; version 1 has a huge one in its place.
        if let (Some(limit), Some(usage)) = (number(limit), number(usage)) {
            return Some(limit.saturating_sub(usage));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn processors_and_memory_both_count() {
        for (processors, memory, expected) in [
            (1, None, 4),
            (2, Some(16 * GIB), 4),
            (8, Some(64 * GIB), 16),
            (64, Some(8 * GIB), 16),
            (2, Some(GIB), 2),
            (2, Some(GIB / 8), 1),
            (2, Some(0), 1),
        ] {
            assert_eq!(
                jobs(processors, memory),
                expected,
                "{processors} {memory:?}"
            );
        }
    }

    #[test]
    fn the_narrowest_limit_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(available_memory(root.path()), None);
        write(
            "proc/meminfo",
            "MemTotal: 9 kB\nMemAvailable:   4194304 kB\n",
        );
        assert_eq!(available_memory(root.path()), Some(4 * GIB));
        write("proc/self/cgroup", "5:cpu:/x\n4:memory,x:/old\n0::/a/b\n");
        assert_eq!(available_memory(root.path()), Some(4 * GIB));
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        write("sys/fs/cgroup/a/b/memory.current", "1024\n");
        write("sys/fs/cgroup/a/memory.max", "3221225472\n");
        write("sys/fs/cgroup/a/memory.current", "1073741824\n");
        assert_eq!(available_memory(root.path()), Some(2 * GIB));
        write(
            "sys/fs/cgroup/memory/old/memory.limit_in_bytes",
            "1073741824\n",
        );
        write(
            "sys/fs/cgroup/memory/old/memory.usage_in_bytes",
            "2147483648\n",
        );
        assert_eq!(available_memory(root.path()), Some(0));
        write("proc/self/cgroup", "0::/../../other\n");
        assert_eq!(available_memory(root.path()), Some(4 * GIB));
    }
}
