//! How much memory a process has for itself.

use std::fmt;

/// Memory that no other process uses, in KiB.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What the process has written to: heap, stack, and the tables of its binary that were adjusted to its address. The pages of
    /// its program are a file's, and one copy serves all monitors.
    pub private: u64,
}

impl Memory {
    /// What a monitor may have. Without optimisation the binary's own tables are many times larger.
    pub const LIMIT: u64 = if cfg!(debug_assertions) {
        16 << 10
    } else {
        1024
    };

    /// The memory of the process `pid`.
    pub fn of(pid: &str) -> Self {
        let path = format!("/proc/{pid}/smaps_rollup");
        let rollup = std::fs::read_to_string(&path).unwrap();
        let row = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"));
        let private = row.and_then(|row| row.split_whitespace().next()?.parse().ok());
        Self {
            private: private.unwrap(),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} KiB", self.private)
    }
}
