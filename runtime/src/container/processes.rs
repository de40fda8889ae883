//! The processes of a running container as the host sees them.
//!
//! They are what descends from its first process and from the other children of its monitor, its execs. What an exec leaves
//! behind becomes a child of the first process, so nothing is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::containers::Container;
use super::error::{Context, Error, Result};
use super::state::Status;

/// What the kernel says of a process in `/proc/<pid>/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its number on the host.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its terminal's device number; 0 without one.
    pub terminal: u64,
    /// Time that it spent on a processor, in ticks.
    pub ticks: u64,
    /// When it was started, in ticks after the boot.
    pub started: u64,
    /// Its threads.
    pub threads: u64,
}

impl ProcessStat {
    fn parse(text: &str) -> Option<Self> {
        // The name may hold anything, parentheses too.
        let (pid, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbers as in proc(5), less 3 for the fields before.
        let field = |number: usize| fields.get(number - 3);
        let number = |at: usize| -> Option<u64> { field(at)?.parse().ok() };
        Some(Self {
            pid: pid.parse().ok()?,
            parent: field(4)?.parse().ok()?,
            name: name.to_owned(),
            terminal: field(7)?
                .parse::<i64>()
                .ok()
                .and_then(|number| u64::try_from(number).ok())?,
            ticks: number(14)? + number(15)?,
            started: number(22)?,
            threads: number(20)?,
        })
    }

    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }
}

impl Container {
    /// Its processes, by number.
    pub fn processes(&self) -> Result<Vec<ProcessStat>> {
        let state = self.state()?;
        let (Status::Running, Some(init), Some(monitor)) =
            (state.status, &state.init, &state.monitor)
        else {
            return Err(Error::NotRunning(self.config.id.to_string()));
        };
        let all = every_process()?;
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for stat in all.values() {
            children.entry(stat.parent).or_default().push(stat.pid);
        }
        let mut found = BTreeSet::new();
        let mut open = vec![init.pid];
        open.extend(children.get(&monitor.pid).into_iter().flatten());
        while let Some(pid) = open.pop() {
            if found.insert(pid) {
                open.extend(children.get(&pid).into_iter().flatten());
            }
        }
        Ok(found
            .into_iter()
            .filter_map(|pid| all.get(&pid).cloned())
            .collect())
    }
}

fn every_process() -> Result<BTreeMap<i32, ProcessStat>> {
    let describe = || "reading /proc".to_owned();
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").context(describe)? {
        let name = entry.context(describe)?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = ProcessStat::read(pid)
        {
            all.insert(pid, stat);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_name_confuses_nobody() {
        let text = "42 (a) R 1 (b) S 7 42 42 34816 42 4194560 1 2 3 4 10 5 0 0 20 0 3 0 99 1000 25 18446744073709551615 1";
        let stat = ProcessStat::parse(text).unwrap();
        assert_eq!(
            (stat.pid, stat.parent, stat.name.as_str()),
            (42, 7, "a) R 1 (b")
        );
        assert_eq!((stat.ticks, stat.threads, stat.started), (15, 3, 99));
        assert_eq!(stat.terminal, 34816);
        assert_eq!(ProcessStat::parse("42 (x"), None);
    }

    #[test]
    fn this_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(every_process().unwrap().contains_key(&own));
    }
}
