//! `pause` and `unpause`: the container's processes in a cgroup v2 that is frozen.
//!
//! A container has no cgroup of its own unless it has limits, so its processes are moved into one when they are first paused.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::containers::Container;
use super::control::{Reply, Request};
use super::error::{Context, Error, Result};
use super::state::Status;
use crate::cgroup::{Hierarchy, events};

/// How long the kernel is given to freeze everything.
const PATIENCE: Duration = Duration::from_secs(10);

impl Container {
    /// Freezes its processes.
    pub fn pause(&self) -> Result<()> {
        let state = self.state()?;
        if state.status != Status::Running || state.restarting {
            return Err(Error::NotRunning(self.config.id.to_string()));
        }
        if state.paused {
            return Err(Error::Failed(format!(
                "container {} is already paused",
                self.config.id
            )));
        }
        let cgroup = match state.cgroup.as_ref().and_then(|record| record.unified()) {
            Some(path) => path.to_owned(),
            None => self.gather()?,
        };
        write(&cgroup, "cgroup.freeze", "1")?;
        let held = fs::File::open(&cgroup).context(|| format!("opening {}", cgroup.display()))?;
        let frozen = events::wait_for(&held, "frozen 1", PATIENCE);
        if !frozen.context(|| format!("watching {}", cgroup.display()))? {
            write(&cgroup, "cgroup.freeze", "0")?;
            return Err(Error::Failed(format!(
                "container {} could not be paused: a process does not freeze",
                self.config.id
            )));
        }
        self.tell_paused(true)
    }

    /// Lets its processes go on.
    pub fn unpause(&self) -> Result<()> {
        let state = self.state()?;
        if !state.paused {
            return Err(Error::Failed(format!(
                "container {} is not paused",
                self.config.id
            )));
        }
        let cgroup = match state.cgroup.as_ref().and_then(|record| record.unified()) {
            Some(path) => path.to_owned(),
            None => self.freezer()?,
        };
        write(&cgroup, "cgroup.freeze", "0")?;
        self.tell_paused(false)
    }

    fn tell_paused(&self, paused: bool) -> Result<()> {
        let channel = self
            .connect()?
            .ok_or_else(|| Error::NotRunning(self.config.id.to_string()))?;
        match self.ask(&channel, &Request::Paused(paused), &[])? {
            (Reply::Failed(error), _) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Where its processes are gathered.
    fn freezer(&self) -> Result<PathBuf> {
        Hierarchy::read()
            .own
            .map(|own| own.join(format!("kiln-freezer-{}", self.config.id)))
            .ok_or_else(|| {
                Error::Failed(
                    "pausing needs cgroup v2, which is not mounted on this host".to_owned(),
                )
            })
    }

    /// Moves all its processes into one cgroup; those that are born meanwhile too.
    fn gather(&self) -> Result<PathBuf> {
        let cgroup = self.freezer()?;
        match fs::create_dir(&cgroup) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).context(|| {
                    format!(
                        "pausing needs a cgroup, and {} can't be made",
                        cgroup.display()
                    )
                });
            }
            _ => {}
        }
        loop {
            let inside = members(&cgroup)?;
            let outside: Vec<_> = self
                .processes()?
                .into_iter()
                .filter(|process| !inside.contains(&process.pid))
                .collect();
            if outside.is_empty() {
                return Ok(cgroup);
            }
            for process in outside {
                match fs::write(cgroup.join("cgroup.procs"), process.pid.to_string()) {
                    // It has just ended.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    other => other.context(|| format!("moving process {}", process.pid))?,
                }
            }
        }
    }

    /// Removes what pausing left, when nothing is in it any more.
    pub(super) fn remove_freezer(&self) {
        if let Ok(cgroup) = self.freezer() {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

fn members(cgroup: &Path) -> Result<Vec<i32>> {
    let path = cgroup.join("cgroup.procs");
    let text = fs::read_to_string(&path).context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn write(cgroup: &Path, file: &str, value: &str) -> Result<()> {
    let path = cgroup.join(file);
    fs::write(&path, value).context(|| format!("writing {}", path.display()))
}
