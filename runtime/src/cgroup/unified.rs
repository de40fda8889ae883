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

/// A process may be born while the others are moved.
const ROUNDS: usize = 10;

/// The name of the process in which a command of an ordinary user waits, as `comm` has it.
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
    let mut enabled = enable(parent, controller);
    for _ in 0..ROUNDS {
        if !enabled.as_ref().is_err_and(is_busy) || !vacate(parent).unwrap_or(false) {
            break;
        }
        enabled = enable(parent, controller);
    }
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
    let text = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    let members: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if !all_ours(&members) {
        return Ok(false);
    }
    let child = cgroup.join(OWN);
    match fs::create_dir(&child) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for pid in members {
        match fs::write(child.join("cgroup.procs"), pid.to_string()) {
            // It has just ended.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
            moved => moved?,
        }
    }
    Ok(true)
}

/// Whether all of these are this process, the one that waits for it, or were started by them.
fn all_ours(members: &[u32]) -> bool {
    let waiting = std::os::unix::process::parent_id();
    let name = fs::read_to_string(format!("/proc/{waiting}/comm")).unwrap_or_default();
    let mut ours = vec![std::process::id()];
    if name.starts_with(PROGRAM) {
        ours.push(waiting);
    }
    let mut others: Vec<u32> = members.to_vec();
    // Children of children are found in later rounds.
    loop {
        let before = others.len();
        others.retain(|pid| {
            let own = ours.contains(pid) || parent_of(*pid).is_none_or(|one| ours.contains(&one));
            if own {
                ours.push(*pid);
            }
            !own
        });
        if others.is_empty() || others.len() == before {
            return others.is_empty();
        }
    }
}

/// The parent of a process; none when it has ended (`proc_pid_stat(5)`).
fn parent_of(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
