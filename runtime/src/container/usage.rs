//! What a running container uses, summed over its processes as the kernel tells it in `/proc`.

use std::fs;
use std::time::Duration;

use super::containers::Container;
use super::error::Result;

/// Ticks of a second in `/proc` (`USER_HZ`).
const TICKS: u64 = 100;

/// A container's use of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on processors, by the processes that run now.
    pub processor: Duration,
    /// Bytes of memory; what processes share counts for each.
    pub memory: u64,
    /// Bytes that it may use: its limit, or the machine's memory.
    pub memory_limit: u64,
    /// Bytes that came over its network.
    pub received: u64,
    /// Bytes that went.
    pub sent: u64,
    /// Bytes read from disks; 0 where the kernel does not tell this user.
    pub read: u64,
    /// Bytes written to disks.
    pub written: u64,
    /// Processes and threads.
    pub threads: u64,
}

impl Container {
    /// What it uses now.
    pub fn usage(&self) -> Result<Usage> {
        let processes = self.processes()?;
        let mut usage = Usage {
            memory_limit: self.config.limits.memory.unwrap_or_else(machine_memory),
            ..Usage::default()
        };
        for process in &processes {
            usage.processor += Duration::from_millis(process.ticks * 1000 / TICKS);
            let status =
                fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
            usage.memory += field(&status, "VmRSS:") * 1024;
            usage.threads += process.threads;
            let io = fs::read_to_string(format!("/proc/{}/io", process.pid)).unwrap_or_default();
            usage.read += field(&io, "read_bytes:");
            usage.written += field(&io, "write_bytes:");
        }
        if let Some(first) = processes.first() {
            let devices =
                fs::read_to_string(format!("/proc/{}/net/dev", first.pid)).unwrap_or_default();
            (usage.received, usage.sent) = traffic(&devices);
        }
        Ok(usage)
    }
}

fn machine_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field(&text, "MemTotal:") * 1024
}

fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.split_whitespace().next())
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// Received and sent bytes of all devices but loopback (proc_pid_net(5)).
fn traffic(devices: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in devices.lines().skip(2) {
        let Some((name, numbers)) = line.split_once(':') else {
            continue;
        };
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        if name.trim() != "lo"
            && let (Some(received), Some(sent)) = (numbers.first(), numbers.get(8))
        {
            sum.0 += received;
            sum.1 += sent;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_kernel() {
        assert_eq!(field("rchar: 1\nread_bytes: 4096\n", "read_bytes:"), 4096);
        assert_eq!(field("", "read_bytes:"), 0);
        let devices = "head\nhead\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(devices), (100, 200));
        assert!(machine_memory() > 0);
    }
}
