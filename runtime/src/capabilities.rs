//! Capability sets.

use crate::Capabilities;

/// Names in the order of their bit numbers (`linux/capability.h`).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl Capabilities {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// Every capability that the kernel may know.
    pub const ALL: Self = Self(u64::MAX);
    /// Docker's default set of fourteen.
    pub const DOCKER: Self = Self(
        1 << 0 // chown
        | 1 << 1 // dac_override
        | 1 << 3 // fowner
        | 1 << 4 // fsetid
        | 1 << 5 // kill
        | 1 << 6 // setgid
        | 1 << 7 // setuid
        | 1 << 8 // setpcap
        | 1 << 10 // net_bind_service
        | 1 << 13 // net_raw
        | 1 << 18 // sys_chroot
        | 1 << 27 // mknod
        | 1 << 29 // audit_write
        | 1 << 31, // setfcap
    );

    /// The set of one capability by name, with or without `CAP_`, in any case; `ALL` is all of them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" {
            return Some(Self::ALL);
        }
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        NAMES
            .iter()
            .position(|known| *known == bare)
            .map(|bit| Self(1 << bit))
    }

    /// Whether all of `other` are in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set and the other.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Names of the known members, as `CAP_CHOWN`.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        (0..NAMES.len())
            .filter(|bit| self.0 >> bit & 1 == 1)
            .map(|bit| format!("CAP_{}", NAMES[bit]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_default_is_fourteen() {
        assert_eq!(Capabilities::DOCKER.names().len(), 14);
        assert_eq!(
            Capabilities::named("cap_net_raw"),
            Some(Capabilities(1 << 13))
        );
        assert_eq!(Capabilities::named("nonsense"), None);
    }
}
