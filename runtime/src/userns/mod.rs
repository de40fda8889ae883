//! The way into a user namespace for commands that touch layers without being root.
//!
//! ```text
//! kiln (stub: signals, exit code) --fork--> kiln (root of the new namespace: the rest of the program)
//!    \-- newuidmap, newgidmap PID          waits until the ids are mapped
//! ```
//!
//! Container id 0 is the user itself; 1 and up are its subordinate ids, in the order of their files. With `single_id` there is no
//! other than 0.

mod ids;
mod stub;
mod tried;

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::sys;
use ids::Range;
pub use tried::{Tried, try_namespace};

/// Settings of [`enter`].
#[derive(Debug, Clone)]
pub struct EnterOptions {
    /// The account database, for the user's name.
    pub passwd: PathBuf,
    /// Subordinate user ids.
    pub subuid: PathBuf,
    /// Subordinate group ids.
    pub subgid: PathBuf,
    /// Takes the user's own ids alone, whatever the files say.
    pub single_id: bool,
}

impl Default for EnterOptions {
    fn default() -> Self {
        Self {
            passwd: "/etc/passwd".into(),
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
            single_id: false,
        }
    }
}

/// The ids of a new namespace.
enum Map {
    Subordinate { uids: Vec<Range>, gids: Vec<Range> },
    Single,
}

/// Where this process is after [`enter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// Real root: nothing was done.
    Root,
    /// Already root of a user namespace that somebody else made: nothing was done.
    InnerRoot,
    /// In a new user namespace with the user's subordinate ids.
    Subordinate,
    /// In a new user namespace in which the user is root and nobody else exists.
    Single,
}

impl Entered {
    /// Whether overlay has to keep its attributes as `user.overlay.*` here.
    #[must_use]
    pub fn user_xattrs(self) -> bool {
        self != Self::Root
    }
}

/// Why a user namespace could not be entered; names the knob.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// The user has no subordinate ids.
    #[error(
        "no subordinate ids for {user} in {}: add them with `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`",
        .file.display()
    )]
    NoSubordinateIds {
        /// Name or number of the user.
        user: String,
        /// File that was looked at.
        file: PathBuf,
    },
    /// The helper that maps subordinate ids can't be used.
    #[error(
        "cannot run {helper}: {source}; it is in the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)"
    )]
    Helper {
        /// Its name.
        helper: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The helper that maps subordinate ids refused to.
    #[error("{helper} failed: {message}")]
    HelperFailed {
        /// Its name.
        helper: &'static str,
        /// What it said.
        message: String,
    },
    /// The kernel does not let this user make a user namespace.
    #[error("cannot create a user namespace: {source}; {}", knob())]
    Refused {
        /// Why.
        source: io::Error,
    },
    /// A file can't be read.
    #[error("cannot read {}: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that does not fail on a sane machine.
    #[error("cannot {what}: {source}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn knob() -> String {
    refused_by().unwrap_or_else(|| {
        "a security module or an outer container's seccomp filter may refuse it".to_owned()
    })
}

/// The setting of this kernel that keeps unprivileged users from making user namespaces, with the command to change it.
#[must_use]
pub fn refused_by() -> Option<String> {
    let knobs = [
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            "/proc/sys/user/max_user_namespaces",
            "0",
            "sysctl user.max_user_namespaces=15000",
        ),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` for this binary",
        ),
    ];
    let set = |(file, value, _): &&(&str, &str, &str)| {
        std::fs::read_to_string(file).is_ok_and(|content| content.trim() == *value)
    };
    let (file, value, command) = knobs.iter().find(set)?;
    Some(format!("{file} is {value}: {command}"))
}

/// How many subordinate user ids the calling user has.
pub fn subordinate_ids(options: &EnterOptions) -> Result<u32, EnterError> {
    let uids = ids::map(options, &options.subuid, rustix::process::getuid().as_raw())?;
    ids::map(options, &options.subgid, rustix::process::getgid().as_raw())?;
    Ok(uids.iter().skip(1).map(|range| range.count).sum())
}

/// Enters a user namespace with the caller's subordinate ids, or its own id alone, and an own mount namespace. Does nothing for root.
///
/// Must be called while the process has one thread. The calling process stays behind as a stub that forwards signals and
/// takes over the exit code; the rest of the program runs in its child.
pub fn enter(options: &EnterOptions) -> Result<Entered, EnterError> {
    if rustix::process::geteuid().is_root() {
        return Ok(if crate::probe::in_user_namespace() {
            Entered::InnerRoot
        } else {
            Entered::Root
        });
    }
    let process = |what| {
        move |errno: rustix::io::Errno| EnterError::Process {
            what,
            source: errno.into(),
        }
    };
    let map = match options.single_id {
        true => Map::Single,
        false => Map::Subordinate {
            uids: ids::map(options, &options.subuid, rustix::process::getuid().as_raw())?,
            gids: ids::map(options, &options.subgid, rustix::process::getgid().as_raw())?,
        },
    };
    let (child_ready, ready) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(process("make a pipe"))?;
    let (mapped, parent_mapped) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(process("make a pipe"))?;
    let outer = rustix::process::getpid();
    match sys::process::fork_single_threaded().map_err(process("fork"))? {
        None => {
            drop((child_ready, parent_mapped));
            become_root(outer, ready, mapped)?;
            Ok(match map {
                Map::Single => Entered::Single,
                Map::Subordinate { .. } => Entered::Subordinate,
            })
        }
        Some(child) => {
            drop((ready, mapped));
            let result = map_child(child, child_ready, parent_mapped, &map);
            if let Err(error) = result {
                let _ = rustix::process::kill_process(child, Signal::KILL);
                let _ =
                    rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
                return Err(error);
            }
            stub::watch(child)
        }
    }
}

/// In the child: makes the namespaces, waits for the ids, becomes root in them.
fn become_root(outer: Pid, ready: OwnedFd, mapped: OwnedFd) -> Result<(), EnterError> {
    let process = |what| {
        move |errno: rustix::io::Errno| EnterError::Process {
            what,
            source: errno.into(),
        }
    };
    let made = sys::process::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS);
    let errno = made.err().map_or(0, rustix::io::Errno::raw_os_error);
    let told = std::fs::File::from(ready).write_all(&errno.to_ne_bytes());
    let mut go = [0];
    let going = std::fs::File::from(mapped).read_exact(&mut go);
    if made.is_err() || told.is_err() || going.is_err() {
        // The parent knows why and says so.
        sys::process::exit(1);
    }
    sys::credentials::become_namespace_root()
        .map_err(process("become root of the user namespace"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(process("follow the outer process"))?;
    if rustix::process::getppid() != Some(outer) {
        sys::process::exit(1);
    }
    Ok(())
}

/// In the parent: maps the child's ids and lets it go on.
fn map_child(child: Pid, ready: OwnedFd, go: OwnedFd, map: &Map) -> Result<(), EnterError> {
    let mut errno = [0; 4];
    std::fs::File::from(ready)
        .read_exact(&mut errno)
        .map_err(|source| EnterError::Process {
            what: "start the inner process",
            source,
        })?;
    match i32::from_ne_bytes(errno) {
        0 => {}
        errno => {
            return Err(EnterError::Refused {
                source: io::Error::from_raw_os_error(errno),
            });
        }
    }
    match map {
        Map::Subordinate { uids, gids } => {
            // Both at once: each takes milliseconds to start.
            let uid_helper = start_helper("newuidmap", child, uids)?;
            let gid_helper = start_helper("newgidmap", child, gids)?;
            finish_helper("newuidmap", uid_helper)?;
            finish_helper("newgidmap", gid_helper)?;
        }
        Map::Single => map_self(child).map_err(|source| EnterError::Refused { source })?,
    }
    let told = std::fs::File::from(go).write_all(&[1]);
    told.map_err(|source| EnterError::Process {
        what: "release the inner process",
        source,
    })
}

/// Maps root of the child's namespace to the user itself. Whoever maps a group without privilege has to give up changing the list
/// of groups first (user_namespaces(7)).
fn map_self(child: Pid) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let process = PathBuf::from(format!("/proc/{}", child.as_raw_nonzero()));
    std::fs::write(process.join("setgroups"), "deny")?;
    std::fs::write(process.join("uid_map"), format!("0 {} 1", uid.as_raw()))?;
    std::fs::write(process.join("gid_map"), format!("0 {} 1", gid.as_raw()))
}

fn start_helper(
    helper: &'static str,
    child: Pid,
    ranges: &[Range],
) -> Result<std::process::Child, EnterError> {
    let mut command = Command::new(helper);
    command.arg(child.as_raw_nonzero().to_string());
    for range in ranges {
        command.args([
            range.inside.to_string(),
            range.outside.to_string(),
            range.count.to_string(),
        ]);
    }
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
        .spawn()
        .map_err(|source| EnterError::Helper { helper, source })
}

fn finish_helper(helper: &'static str, process: std::process::Child) -> Result<(), EnterError> {
    let output = process
        .wait_with_output()
        .map_err(|source| EnterError::Helper { helper, source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(EnterError::HelperFailed { helper, message })
}
