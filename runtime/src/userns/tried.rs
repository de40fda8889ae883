//! What nothing tells has to be tried: whether a user may make namespaces and mount in them.

use std::io;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::EnterError;
use crate::sys;

/// What a user namespace of the calling user would be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Everything.
    Whole,
    /// Everything but a procfs of its own: an outer container hides parts of its.
    WithoutProc,
}

/// Exit code of a try whose procfs was refused; no `errno` has it.
const NO_PROC: i32 = 255;

/// Tries whether the calling user may make a user namespace and mount in it; says what keeps it from that. Must be called while the
/// process has one thread.
pub fn try_namespace() -> Result<Tried, String> {
    let refused = |source| Err(EnterError::Refused { source }.to_string());
    let tried = in_child(|| {
        let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;
        if let Err(errno) = sys::process::unshare(namespaces) {
            return errno.raw_os_error();
        }
        // The next child is the first process of the new namespace.
        match in_child(|| new_proc().err().map_or(0, |_| NO_PROC)) {
            Ok(code) => code,
            Err(errno) => errno.raw_os_error(),
        }
    });
    match tried {
        Ok(0) => Ok(Tried::Whole),
        Ok(NO_PROC) => Ok(Tried::WithoutProc),
        Ok(errno) => refused(io::Error::from_raw_os_error(errno)),
        Err(errno) => refused(errno.into()),
    }
}

/// The exit code of a child that does this.
fn in_child(work: impl FnOnce() -> i32) -> Result<i32, rustix::io::Errno> {
    let Some(child) = sys::process::fork_single_threaded()? else {
        sys::process::exit(work());
    };
    let options = rustix::process::WaitOptions::empty();
    let ended = rustix::process::waitpid(Some(child), options)?;
    let code = ended.and_then(|(_, status)| status.exit_status());
    Ok(code.unwrap_or(libc::EPERM))
}

fn new_proc() -> Result<(), rustix::io::Errno> {
    let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::empty();
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map(drop)
}
