//! Where in cgroup v2 a new cgroup can have controllers.
//!
//! A cgroup with processes gives no controllers to its children ("no internal processes", Documentation/admin-guide/cgroup-v2.rst), apart
//! from the root of all: there, a directory of ours is used. An ordinary user's kiln that is alone in a cgroup of its own, as
//! `systemd-run --user --scope -p Delegate=yes` starts it, moves into a child of it first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::{CgroupError, Hierarchy};

/// The directory at the root of the hierarchy below which root's cgroups are made.
const SHARED: &str = "kiln";

/// The child of the own cgroup that kiln's own processes move into.
const OWN: &str = "kiln-self";

/// The beginning of the names of kiln's processes, as `comm` has them: the command, the one it waits in, the one that launches.
const PROGRAM: &str = "kiln";

/// The v2 cgroup below which a new one can have this controller.
pub(super) fn enabled_parent(
    hierarchy: &Hierarchy,
    own: &Path,
    controller: &'static str,
) -> Result<PathBuf, CgroupError> {
    let real_root = |mount: &&PathBuf| !mount.join("cgroup.type").exists();
    if let Some(root) = hierarchy.mount.as_ref().filter(real_root) {
        let shared = root.join(SHARED);
        let made = enable(root, controller).and_then(|()| match fs::create_dir(&shared) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // Root's may be there already, and is of no use to others.
            _ => access(&shared, Access::WRITE_OK)
                .map_err(io::Error::from)
                .and_then(|()| enable(&shared, controller)),
        });
        if made.is_ok() {
            return Ok(shared);
        }
    }
    // Moved already: everything else of ours is beside us.
    let above = own.parent().filter(|_| own.ends_with(OWN));
    let parent = above.unwrap_or(own);
    let enabled = enable(parent, controller).or_else(|error| {
        if is_busy(&error) && vacate(parent)? {
            enable(parent, controller)
        } else {
            Err(error)
        }
    });
    match enabled {
        Ok(()) => Ok(parent.to_owned()),
        Err(error) if is_busy(&error) => Err(CgroupError::Occupied {
            controller,
            parent: parent.to_owned(),
        }),
        Err(source) => Err(CgroupError::File {
            controller,
            file: parent.join("cgroup.subtree_control"),
            source,
        }),
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BUSY.raw_os_error())
}

fn enable(parent: &Path, controller: &str) -> io::Result<()> {
    let file = parent.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file)?;
    if enabled.split_whitespace().any(|name| name == controller) {
        return Ok(());
    }
    fs::write(&file, format!("+{controller}"))
}

/// Moves kiln's processes from `cgroup` into a child of it; false, with nothing moved, when others are there too.
fn vacate(cgroup: &Path) -> io::Result<bool> {
    let members = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    let ours = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(PROGRAM))
    };
    if !members.lines().all(ours) {
        return Ok(false);
    }
    let child = cgroup.join(OWN);
    match fs::create_dir(&child) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for pid in members.lines() {
        match fs::write(child.join("cgroup.procs"), pid) {
            // It has just ended.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
            moved => moved?,
        }
    }
    Ok(true)
}
