//! What the running kernel has to allow.

use super::Missing;

/// A setting that closes user namespaces to ordinary users.
struct Knob {
    path: &'static str,
    name: &'static str,
    closed: fn(&str) -> bool,
    open: &'static str,
}

const KNOBS: &[Knob] = &[
    Knob {
        path: "/proc/sys/user/max_user_namespaces",
        name: "user.max_user_namespaces",
        closed: |value| value == "0",
        open: "15000",
    },
    // Debian and its relatives before 11, and hardened ones.
    Knob {
        path: "/proc/sys/kernel/unprivileged_userns_clone",
        name: "kernel.unprivileged_userns_clone",
        closed: |value| value == "0",
        open: "1",
    },
    // Ubuntu since 23.10.
    Knob {
        path: "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        name: "kernel.apparmor_restrict_unprivileged_userns",
        closed: |value| value == "1",
        open: "0",
    },
];

/// What it does not allow.
pub fn missing() -> Vec<Missing> {
    let mut missing: Vec<_> = KNOBS
        .iter()
        .filter(|knob| {
            std::fs::read_to_string(knob.path).is_ok_and(|value| (knob.closed)(value.trim()))
        })
        .map(|knob| {
            let assignment = format!("{}={}", knob.name, knob.open);
            Missing::mended_by(
                "user namespaces for ordinary users".into(),
                &[&["sysctl", "-w", &assignment]],
            )
        })
        .collect();
    let file_systems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !file_systems.lines().any(|line| line.ends_with("\toverlay")) {
        missing.push(Missing::mended_by(
            "the overlay file system".into(),
            &[&["modprobe", "overlay"]],
        ));
    }
    missing
}
