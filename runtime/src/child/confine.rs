//! What a process gives up before its program runs.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::kernel::QUIET;
use super::root::detached;
use super::{Child, Context, Done, resolve};
use crate::plan::Limit;
use crate::sys;

/// The file mode mask of Docker's containers.
const MASK: u32 = 0o022;

pub(super) fn start_session<'a>() -> Done<'a> {
    rustix::process::umask(Mode::from_raw_mode(MASK));
    match rustix::process::setsid() {
        Ok(_) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno).doing("start a session"),
    }
    match sys::process::new_session_keyring() {
        // No keyrings in this kernel, no more of them for this user, or filtered by an outer container.
        Ok(()) | Err(Errno::NOSYS | Errno::DQUOT | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno).doing("join a session keyring"),
    }
}

/// Moves this process with a `cgroup.procs` that is open for writing.
pub(super) fn move_into<'a>(procs: BorrowedFd<'_>) -> Done<'a> {
    rustix::io::write(procs, b"0")
        .map(drop)
        .doing("move into the cgroup")
}

/// Moves this process into a cgroup v2 directory, and makes that the root of what it sees of cgroups.
pub(super) fn enter_cgroup<'a>(directory: BorrowedFd<'_>) -> Done<'a> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let procs = rustix::fs::openat(directory, c"cgroup.procs", flags, Mode::empty())
        .doing("open the cgroup")?;
    move_into(procs.as_fd())?;
    sys::process::unshare(libc::CLONE_NEWCGROUP).doing("make a cgroup namespace")
}

pub(super) fn set_limits(limits: &[Limit]) -> Done<'_> {
    for limit in limits {
        sys::process::set_limit(limit.resource, limit.soft, limit.hard)
            .doing("set a resource limit")?;
    }
    Ok(())
}

/// Checked afterwards: a path that leads through a descriptor out of the container ends in a directory without a path.
pub(super) fn change_directory(path: &CStr) -> Done<'_> {
    rustix::process::chdir(path).doing_to("enter the working directory", path)?;
    sys::process::check_working_directory()
        .doing_to("stay inside the container with the working directory", path)
}

impl<'a> Child<'a> {
    /// Tells AppArmor which profile the program is to run in. The file is found in a procfs of our own: what lies below `/proc` of a
    /// running container may be anything (CVE-2019-16884, CVE-2025-52881).
    pub(super) fn change_profile(&self, profile: &'a CStr, required: bool) -> Done<'a> {
        match self.write_profile(profile) {
            // No such profile, or no AppArmor.
            Err(Errno::NOENT | Errno::INVAL) if !required => Ok(()),
            other => other.doing_to("change to the AppArmor profile", profile),
        }
    }

    fn write_profile(&self, profile: &CStr) -> Result<(), Errno> {
        let own;
        let proc = if let Some(proc) = &self.proc {
            proc
        } else {
            own = detached(c"proc", &[], QUIET)?;
            &own
        };
        let process = rustix::process::getpid().as_raw_nonzero();
        let open = |file: &str| {
            let path = format!("{process}/attr/{file}");
            resolve::beneath(
                proc.as_fd(),
                path.as_bytes(),
                OFlags::WRONLY | OFlags::CLOEXEC,
            )
        };
        // Before 5.8 AppArmor has no directory of its own.
        let file = open("apparmor/exec").or_else(|_| open("exec"))?;
        let order = [b"exec ", profile.to_bytes()].concat();
        rustix::io::write(&file, &order).map(drop)
    }
}

/// Scopes need Linux 6.12; without them the host's abstract sockets stay in reach, as with every other engine.
pub(super) fn scope<'a>() -> Done<'a> {
    match sys::filter::landlock_scope() {
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::TOOBIG) => Ok(()),
        Err(errno) => Err(errno).doing("restrict access to the host's sockets"),
    }
}

/// With `recorded`, user and groups are only said (see `owners`). Bounding set first, while the privilege for it lasts; then groups and user; then the exact sets. Nothing is inheritable
/// or ambient.
pub(super) fn take_credentials<'a>(
    recorded: bool,
    (uid, gid): (u32, u32),
    groups: &'a [u32],
    capabilities: u64,
) -> Done<'a> {
    for bit in 0..64 {
        if capabilities >> bit & 1 == 0
            && !drop_from_bounding_set(bit).doing("limit the capabilities")?
        {
            break;
        }
    }
    if !recorded {
        sys::credentials::set(uid, gid, groups).doing("take on the user and groups")?;
    }
    let held = if uid == 0 {
        CapabilitySet::from_bits_retain(
            capabilities & sys::credentials::permitted().doing("read the capabilities")?,
        )
    } else {
        CapabilitySet::empty()
    };
    let sets = CapabilitySets {
        effective: held,
        permitted: held,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).doing("set the capabilities")?;
    match rustix::thread::clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno).doing("clear the ambient capabilities"),
    }
}

/// False at the first number that this kernel does not know.
fn drop_from_bounding_set(bit: u32) -> Result<bool, Errno> {
    match sys::credentials::drop_from_bounding_set(bit) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}
