//! Mounts, devices and guarded paths.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::Serialize;

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountPoint {
    /// Kind of file system.
    pub kind: String,
    /// What part of it is mounted; empty where that differs with every container.
    pub root: String,
    /// Flags, sorted.
    pub flags: Vec<String>,
    /// How it propagates: `shared`, `slave` or nothing.
    pub propagation: String,
}

/// An entry of `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// `character 1:3`, `link to /proc/self/fd`, `directory` or `file`.
    pub kind: String,
    /// Permissions in octal.
    pub mode: String,
}

/// Paths that Docker hides or makes read-only, and some beside them.
const GUARDED: [&str; 24] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/interrupts",
    "/proc/irq",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/cgroup",
    "/sys/kernel/debug",
    "/sys/kernel/security",
];

pub(super) fn mounts() -> BTreeMap<String, MountPoint> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, target, options) = (fields.next()?, fields.next()?, fields.next()?);
        let propagation = fields
            .filter_map(|field| field.split(':').next())
            .next()
            .unwrap_or_default();
        let kind = after.split(' ').next()?.to_owned();
        let mut flags: Vec<_> = options.split(',').map(str::to_owned).collect();
        flags.sort();
        // A part of the engine's own disk.
        let own = [
            "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2", "cgroup",
        ];
        let root = if own.contains(&kind.as_str()) {
            root.to_owned()
        } else {
            String::new()
        };
        let mount = MountPoint {
            kind,
            root,
            flags,
            propagation: propagation.replace("master", "slave"),
        };
        Some((target.to_owned(), mount))
    };
    text.lines().filter_map(mount).collect()
}

pub(super) fn guarded_paths() -> BTreeMap<String, String> {
    GUARDED
        .iter()
        .map(|path| ((*path).to_owned(), guard(Path::new(path)).to_owned()))
        .collect()
}

/// How a path is guarded.
fn guard(path: &Path) -> &'static str {
    let Ok(found) = fs::metadata(path) else {
        return "absent";
    };
    let read_only = rustix::fs::statvfs(path).is_ok_and(|system| {
        system
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    });
    if found.file_type().is_char_device() {
        return "a device in its place";
    }
    let empty = if found.is_dir() {
        fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none())
    } else {
        first_byte(path).is_none()
    };
    match (empty, read_only) {
        (true, true) => "empty and read-only",
        (true, false) => "empty",
        (false, true) => "read-only",
        (false, false) => "open",
    }
}

/// Files of procfs may have no end, or wait for the kernel to say something.
fn first_byte(path: &Path) -> Option<u8> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?;
    let mut byte = [0];
    match rustix::io::read(file, &mut byte) {
        Ok(0) => None,
        // It would have said something.
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Some(byte[0]),
        Err(_) => None,
    }
}

pub(super) fn devices() -> BTreeMap<String, Device> {
    let Ok(entries) = fs::read_dir("/dev") else {
        return BTreeMap::new();
    };
    let device = |entry: fs::DirEntry| {
        let found = fs::symlink_metadata(entry.path()).ok()?;
        let kind = found.file_type();
        let number = (
            rustix::fs::major(found.rdev()),
            rustix::fs::minor(found.rdev()),
        );
        let kind = if kind.is_symlink() {
            format!("link to {}", fs::read_link(entry.path()).ok()?.display())
        } else if kind.is_char_device() {
            format!("character {}:{}", number.0, number.1)
        } else if kind.is_block_device() {
            format!("block {}:{}", number.0, number.1)
        } else if kind.is_dir() {
            "directory".to_owned()
        } else {
            "file".to_owned()
        };
        let mode = format!("{:o}", found.mode() & 0o7777);
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name, Device { kind, mode }))
    };
    entries.flatten().filter_map(device).collect()
}
