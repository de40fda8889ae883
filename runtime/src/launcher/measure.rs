//! Where the time of a launch goes.

use std::time::Duration;

use super::Launcher;
use crate::child::now;
use crate::report::Record;
use crate::{Exit, LaunchError, Spec, Stdio};

/// The times of one launch.
#[derive(Debug, Clone)]
pub struct Measured {
    /// How the program ended.
    pub exit: Exit,
    /// From the request to the end of the process being known.
    pub total: Duration,
    /// From the request to the clone being known.
    pub started: Duration,
    /// The parts, in order: the clone with everything before it, each kind of operation, and the program with its end.
    pub parts: Vec<(&'static str, Duration)>,
}

impl Launcher {
    /// Runs a process to its end and says where the time went.
    pub fn measure(&self, spec: &Spec, stdio: Stdio) -> Result<Measured, LaunchError> {
        let start = now();
        let (child, names) = self.spawn_timed(spec, stdio)?;
        let started = now();
        let (exit, mounts, report) = child.wait_with_report()?;
        let end = now();
        drop(mounts);
        let times = report.iter().find_map(|record| match record {
            Record::Times { ahead, nanoseconds } => Some((*ahead as usize, nanoseconds.as_slice())),
            _ => None,
        });
        let (ahead, times) = times.unwrap_or_default();
        let mut parts: Vec<(&'static str, Duration)> = Vec::new();
        let mut last = start;
        let stamps = times.iter().copied();
        let first = if ahead == 0 { "clone" } else { "hand over" };
        for (name, at) in [first]
            .into_iter()
            .chain(names.into_iter().skip(ahead))
            .zip(stamps)
            .chain([("program and end", end)])
        {
            let spent = Duration::from_nanos(at.saturating_sub(last));
            match parts.iter_mut().find(|part| part.0 == name) {
                Some(part) => part.1 += spent,
                None => parts.push((name, spent)),
            }
            last = at;
        }
        Ok(Measured {
            exit,
            total: Duration::from_nanos(end - start),
            started: Duration::from_nanos(started - start),
            parts,
        })
    }
}
