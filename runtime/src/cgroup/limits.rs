//! Limits, and the files that they are written into.

use serde::{Deserialize, Serialize};

/// What a group of processes may use at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of swap, beyond memory. With a limit of memory and none of swap, as much swap as memory: Docker's rule.
    pub swap: Option<u64>,
    /// Microseconds of processor time in each period of [`Limits::CPU_PERIOD`].
    pub cpu_quota: Option<u64>,
    /// Weight beside other groups that want the processor, in v1's shares: 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

impl Limits {
    /// The period that [`Limits::cpu_quota`] is about, in microseconds: Docker's and the kernel's default.
    pub const CPU_PERIOD: u64 = 100_000;

    /// Stands for an amount without end.
    pub const NO_LIMIT: u64 = u64::MAX;

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of swap, with the default filled in.
    fn effective_swap(&self) -> Option<u64> {
        self.swap.or(self.memory)
    }
}

/// A controller that limits something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Memory and swap.
    Memory,
    /// Processor time.
    Cpu,
    /// Processes and threads.
    Pids,
}

/// A file of a cgroup and what is written into it.
pub(super) type Setting = (&'static str, String);

impl Controller {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// The kernel's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    /// The files of cgroup v2 that these limits need of this controller.
    pub(super) fn settings_v2(self, limits: &Limits) -> Vec<Setting> {
        let setting = |file, value: Option<String>| value.map(|value| (file, value));
        let text = |value: Option<u64>| {
            value.map(|value| match value {
                Limits::NO_LIMIT => "max".to_owned(),
                value => value.to_string(),
            })
        };
        let all = match self {
            Self::Memory => [
                setting("memory.max", text(limits.memory)),
                setting("memory.swap.max", text(limits.effective_swap())),
            ],
            Self::Cpu => [
                setting(
                    "cpu.max",
                    limits
                        .cpu_quota
                        .map(|quota| format!("{quota} {}", Limits::CPU_PERIOD)),
                ),
                setting("cpu.weight", text(limits.cpu_shares.map(weight))),
            ],
            Self::Pids => [setting("pids.max", text(limits.processes)), None],
        };
        all.into_iter().flatten().collect()
    }

    /// The same of cgroup v1, whose limit of swap counts memory in.
    pub(super) fn settings_v1(self, limits: &Limits) -> Vec<Setting> {
        let text = |value: u64| match value {
            Limits::NO_LIMIT => "-1".to_owned(),
            value => value.to_string(),
        };
        let setting = |file, value: Option<u64>| value.map(|value| (file, text(value)));
        let all = match self {
            Self::Memory => {
                let both = limits
                    .memory
                    .zip(limits.effective_swap())
                    .map(|(memory, swap)| memory.saturating_add(swap));
                [
                    setting("memory.limit_in_bytes", limits.memory),
                    setting("memory.memsw.limit_in_bytes", both),
                    None,
                ]
            }
            Self::Cpu => [
                setting(
                    "cpu.cfs_period_us",
                    limits.cpu_quota.map(|_| Limits::CPU_PERIOD),
                ),
                setting("cpu.cfs_quota_us", limits.cpu_quota),
                setting("cpu.shares", limits.cpu_shares),
            ],
            Self::Pids => [setting("pids.max", limits.processes), None, None],
        };
        all.into_iter().flatten().collect()
    }
}

/// The weight of v2 that shares of v1 are, as runc converts them.
fn weight(shares: u64) -> u64 {
    1 + (shares.saturating_sub(2) * 9999) / 262_142
}

/// Files that a kernel without accounting of swap does not have.
pub(super) fn is_optional(file: &str) -> bool {
    matches!(file, "memory.swap.max" | "memory.memsw.limit_in_bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_files() {
        let limits = Limits {
            memory: Some(1 << 20),
            cpu_quota: Some(50_000),
            processes: Some(7),
            ..Limits::default()
        };
        let all = |settings: fn(Controller, &Limits) -> Vec<Setting>| -> Vec<String> {
            Controller::ALL
                .into_iter()
                .flat_map(|controller| settings(controller, &limits))
                .map(|(file, value)| format!("{file}={value}"))
                .collect()
        };
        assert_eq!(
            all(Controller::settings_v2),
            [
                "memory.max=1048576",
                "memory.swap.max=1048576",
                "cpu.max=50000 100000",
                "pids.max=7"
            ]
        );
        assert_eq!(
            all(Controller::settings_v1),
            [
                "memory.limit_in_bytes=1048576",
                "memory.memsw.limit_in_bytes=2097152",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=50000",
                "pids.max=7"
            ]
        );
        assert!(Limits::default().is_empty());
    }
}
