//! Limits through cgroups: directories that a process is born into, or moves itself into.
//!
//! ```text
//! v2      one directory with all controllers; clone3 places the process in it, at no cost
//! v1      one directory for each controller that a limit needs; the process moves itself, milliseconds each
//! hybrid  whatever controller v2 has is used there, the others in v1
//! ```
//!
//! Nothing is moved when no limit is asked for: a write to `cgroup.procs` waits for a grace period of the kernel. A limit whose
//! controller is missing is left out and named ([`Created::unmet`]).

pub(crate) mod events;
mod hierarchy;
mod limits;
mod record;
#[cfg(test)]
mod tests;
mod unified;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub use hierarchy::Hierarchy;
pub use limits::{Controller, Limits};

/// Why limits can't be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// There are no cgroups at all.
    #[error("no limit of {controller}: no cgroup hierarchy is mounted on this host")]
    NoHierarchy {
        /// The controller that is needed.
        controller: &'static str,
    },
    /// A controller is not available where this process is.
    #[error("no limit of {controller}: {} does not have the controller; have it delegated: `systemctl edit user@.service`, then `[Service] Delegate=cpu cpuset io memory pids`", .parent.display())]
    NoController {
        /// Its name.
        controller: &'static str,
        /// The cgroup of this process.
        parent: PathBuf,
    },
    /// The own v2 cgroup holds processes, so that its children may not have controllers.
    #[error("no limit of {controller}: {} holds other processes; start kiln in a cgroup of its own: `systemd-run --user --scope -p Delegate=yes kiln ...`", .parent.display())]
    Occupied {
        /// The controller that is needed.
        controller: &'static str,
        /// The cgroup of this process.
        parent: PathBuf,
    },
    /// A file of the hierarchy refused.
    #[error("no limit of {controller}: cannot write {}: {source}", .file.display())]
    File {
        /// The controller that is needed.
        controller: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What [`Cgroup::create`] could do.
#[derive(Debug)]
pub struct Created {
    /// The cgroup; none if no limit could be set.
    pub cgroup: Option<Cgroup>,
    /// The limits that are not in force, each with its reason.
    pub unmet: Vec<CgroupError>,
}

/// One directory of a cgroup.
#[derive(Debug, Clone)]
struct Part {
    kind: PartKind,
    path: PathBuf,
    parent: Arc<OwnedFd>,
    directory: Arc<OwnedFd>,
}

/// Which hierarchy a part is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum PartKind {
    /// cgroup v2.
    Unified,
    /// v1's memory controller.
    Memory,
    /// Another controller of v1.
    Other,
}

/// A cgroup that we made. Its processes outlive it; [`Cgroup::remove`] fails while there are any.
#[derive(Debug, Clone)]
pub struct Cgroup {
    name: String,
    parts: Vec<Part>,
}

/// What another process needs to know to take over a [`Cgroup`], next to its descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    name: String,
    /// Kinds and paths of the directories.
    parts: Vec<(PartKind, PathBuf)>,
}

/// Where a process is born: for [`crate::Spec::cgroup`] and [`crate::Join::cgroup`].
#[derive(Debug, Clone, Default)]
pub struct Membership {
    /// The v2 directory.
    pub(crate) unified: Option<Arc<OwnedFd>>,
    /// `cgroup.procs` of v1 directories, open for writing.
    pub(crate) moves: Vec<Arc<OwnedFd>>,
}

impl Membership {
    /// In a cgroup v2 directory that somebody else keeps.
    #[must_use]
    pub fn unified(directory: Arc<OwnedFd>) -> Self {
        Self {
            unified: Some(directory),
            moves: Vec::new(),
        }
    }
}

impl Cgroup {
    /// Makes a cgroup with as many of these limits as this host and user allow.
    pub fn create(name: &str, limits: &Limits) -> Created {
        if limits.is_empty() {
            return Created {
                cgroup: None,
                unmet: Vec::new(),
            };
        }
        Self::create_in(&Hierarchy::read(), name, limits)
    }

    /// The same; with or without limits there is a v2 directory, by which all its processes can be ended ([`Cgroup::kill`]).
    pub fn create_gathering(name: &str, limits: &Limits) -> io::Result<Created> {
        let hierarchy = Hierarchy::read();
        let mut created = Self::create_in(&hierarchy, name, limits);
        let mut cgroup = created.cgroup.take().unwrap_or_else(|| Self {
            name: name.to_owned(),
            parts: Vec::new(),
        });
        if !cgroup
            .parts
            .iter()
            .any(|part| part.kind == PartKind::Unified)
        {
            let own = hierarchy.own.ok_or(io::ErrorKind::NotFound)?;
            cgroup
                .part(PartKind::Unified, &own, "processes")
                .map_err(io::Error::other)?;
        }
        created.cgroup = Some(cgroup);
        Ok(created)
    }

    fn create_in(hierarchy: &Hierarchy, name: &str, limits: &Limits) -> Created {
        let mut cgroup = Self {
            name: name.to_owned(),
            parts: Vec::new(),
        };
        let mut unmet = Vec::new();
        for controller in Controller::ALL {
            if controller.settings_v2(limits).is_empty() {
                continue;
            }
            if let Err(error) = cgroup.limit(hierarchy, controller, limits) {
                unmet.push(error);
            }
        }
        let cgroup = (!cgroup.parts.is_empty()).then_some(cgroup);
        Created { cgroup, unmet }
    }

    /// Sets one controller's limits, in whichever hierarchy has it.
    fn limit(
        &mut self,
        hierarchy: &Hierarchy,
        controller: Controller,
        limits: &Limits,
    ) -> Result<(), CgroupError> {
        let name = controller.name();
        let unified = hierarchy.controllers.iter().any(|known| known == name);
        if let (true, Some(own)) = (unified, &hierarchy.own) {
            let parent = unified::enabled_parent(hierarchy, own, name)?;
            let part = self.part(PartKind::Unified, &parent, name)?;
            return self.write(&part, controller.settings_v2(limits), name);
        }
        if let Some(parent) = hierarchy.own_v1.get(name) {
            let kind = if controller == Controller::Memory {
                PartKind::Memory
            } else {
                PartKind::Other
            };
            let part = self.part(kind, parent, name)?;
            return self.write(&part, controller.settings_v1(limits), name);
        }
        Err(match &hierarchy.own {
            Some(own) => CgroupError::NoController {
                controller: name,
                parent: own.clone(),
            },
            None => CgroupError::NoHierarchy { controller: name },
        })
    }

    /// The directory below `parent`, made when it is missing.
    fn part(
        &mut self,
        kind: PartKind,
        parent: &Path,
        controller: &'static str,
    ) -> Result<PathBuf, CgroupError> {
        let path = parent.join(&self.name);
        if self.parts.iter().any(|part| part.path == path) {
            return Ok(path);
        }
        let failed = |file: &Path| {
            let file = file.to_owned();
            move |source: io::Error| CgroupError::File {
                controller,
                file,
                source,
            }
        };
        fs::create_dir(&path).map_err(failed(&path))?;
        let open = || Ok((directory(parent)?, directory(&path)?));
        match open() {
            Ok((parent, directory)) => {
                self.parts.push(Part {
                    kind,
                    path: path.clone(),
                    parent,
                    directory,
                });
                Ok(path)
            }
            Err(source) => {
                // What was made for nothing goes again; the first error is the one to tell.
                let _ = fs::remove_dir(&path);
                Err(failed(&path)(source))
            }
        }
    }

    /// Writes limits; when one is refused, takes the directory back unless others are in it.
    fn write(
        &mut self,
        path: &Path,
        settings: Vec<limits::Setting>,
        controller: &'static str,
    ) -> Result<(), CgroupError> {
        for (file, value) in settings {
            let optional = limits::is_optional(file);
            let file = path.join(file);
            match fs::write(&file, value) {
                Ok(()) => {}
                Err(error) if optional && error.kind() == io::ErrorKind::NotFound => {}
                // Accounting of swap that is switched off answers so.
                Err(error)
                    if optional
                        && error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {}
                Err(source) => {
                    let v1 = self
                        .parts
                        .iter()
                        .any(|part| part.path == path && part.kind != PartKind::Unified);
                    if v1 {
                        let _ = fs::remove_dir(path);
                        self.parts.retain(|part| part.path != path);
                    }
                    return Err(CgroupError::File {
                        controller,
                        file,
                        source,
                    });
                }
            }
        }
        Ok(())
    }

    /// Where a process has to be born to be in it.
    pub fn membership(&self) -> io::Result<Membership> {
        let mut membership = Membership::default();
        for part in &self.parts {
            if part.kind == PartKind::Unified {
                membership.unified = Some(Arc::clone(&part.directory));
            } else {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                let procs = openat(&part.directory, c"cgroup.procs", flags, Mode::empty())?;
                membership.moves.push(Arc::new(procs));
            }
        }
        Ok(membership)
    }

    /// What to tell a process that takes this cgroup over, along with [`Cgroup::descriptors`].
    #[must_use]
    pub fn record(&self) -> CgroupRecord {
        CgroupRecord {
            name: self.name.clone(),
            parts: self
                .parts
                .iter()
                .map(|part| (part.kind, part.path.clone()))
                .collect(),
        }
    }

    /// The descriptors to hand over, in order.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.parts
            .iter()
            .flat_map(|part| [part.parent.as_fd(), part.directory.as_fd()])
            .collect()
    }

    /// Takes over a cgroup of another process; none if descriptors are missing.
    pub fn adopt(
        record: CgroupRecord,
        descriptors: &mut impl Iterator<Item = OwnedFd>,
    ) -> Option<Self> {
        let parts = record.parts.into_iter().map(|(kind, path)| {
            Some(Part {
                kind,
                path,
                parent: Arc::new(descriptors.next()?),
                directory: Arc::new(descriptors.next()?),
            })
        });
        Some(Self {
            name: record.name,
            parts: parts.collect::<Option<_>>()?,
        })
    }

    /// Its directories on the host.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        self.parts.iter().map(|part| part.path.as_path()).collect()
    }

    /// Whether the kernel has killed one of its processes for lack of memory.
    #[must_use]
    pub fn out_of_memory(&self) -> bool {
        self.parts.iter().any(|part| {
            let file = match part.kind {
                PartKind::Unified => c"memory.events",
                PartKind::Memory => c"memory.oom_control",
                PartKind::Other => return false,
            };
            let events = read_small(&part.directory, file).unwrap_or_default();
            events.lines().any(|line| {
                line.strip_prefix("oom_kill ")
                    .is_some_and(|count| count.trim() != "0")
            })
        })
    }

    /// Kills every process in it, as far as it is a v2 cgroup.
    pub fn kill(&self) -> io::Result<()> {
        for part in self
            .parts
            .iter()
            .filter(|part| part.kind == PartKind::Unified)
        {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            match openat(&part.directory, c"cgroup.kill", flags, Mode::empty()) {
                Ok(file) => rustix::io::write(&file, b"1").map(drop)?,
                // Before 5.14.
                Err(Errno::NOENT) => kill_one_by_one(&part.directory)?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Waits until nothing is left in it, as far as the kernel tells: in v2, and no longer than `patience`.
    pub fn wait_until_empty(&self, patience: std::time::Duration) {
        for part in self
            .parts
            .iter()
            .filter(|part| part.kind == PartKind::Unified)
        {
            // Where it can't be waited for, the removal tells.
            let _ = events::wait_for(&part.directory, "populated 0", patience);
        }
    }

    /// Removes its directories. The kernel may still be busy with processes that have just ended: then it is `ResourceBusy`.
    pub fn remove(&self) -> io::Result<()> {
        let mut result = Ok(());
        for part in &self.parts {
            match unlinkat(&part.parent, self.name.as_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => result = Err(errno.into()),
            }
        }
        result
    }
}

/// Kills until nobody is left: a process may have started another one meanwhile.
fn kill_one_by_one(directory: &OwnedFd) -> io::Result<()> {
    loop {
        let members = read_small(directory, c"cgroup.procs")?;
        let numbers = members.lines().filter_map(|line| line.parse().ok());
        let mut alive = false;
        for pid in numbers.filter_map(rustix::process::Pid::from_raw) {
            alive |= rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
        }
        if !alive {
            return Ok(());
        }
    }
}

fn directory(path: &Path) -> io::Result<Arc<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Arc::new(openat(CWD, path, flags, Mode::empty())?))
}

fn read_small(directory: &OwnedFd, file: &std::ffi::CStr) -> io::Result<String> {
    let file = openat(
        directory,
        file,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    io::read_to_string(fs::File::from(file))
}
