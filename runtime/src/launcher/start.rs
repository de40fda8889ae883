//! Starting the zygote from a copy of our own binary that nobody can write to.
//!
//! A container can reach the binary that started it through `/proc/self/exe`. What it reaches is a read-only mount of the
//! file (or, where that can't be made, a sealed copy in memory), never the file that the host would run again.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::{LauncherOptions, gone, throttled_processors};
use crate::cgroup::Hierarchy;
use crate::plan::Site;
use crate::transport::{receive_frame, send_frame};
use crate::wire::Wire;
use crate::zygote::protocol::{Answer, Hello, NAME, request};
use crate::{LaunchError, explain, probe, sys};

/// A zygote that is about to be ready.
pub(super) struct Started {
    pub socket: OwnedFd,
    pub process: Process,
    pub site: Site,
}

/// The process of a zygote. Its status is taken when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    pid: Option<Pid>,
}

impl Process {
    /// Leaves it to itself: it goes on.
    pub fn leave(&mut self) {
        self.pid = None;
    }
}

impl Drop for Process {
    /// Waits for the end, which comes when the engine hangs up.
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            while matches!(waitpid(Some(pid), WaitOptions::empty()), Err(Errno::INTR)) {}
        }
    }
}

/// A process that becomes a zygote once it is told for which store. Hung up before it is waited for.
struct Begun {
    socket: OwnedFd,
    process: Process,
    binary: OwnedFd,
}

/// The process that was started ahead.
static AHEAD: Mutex<Option<Begun>> = Mutex::new(None);

/// Starts the process of the launcher that this process is about to start. When it starts none, that ends with it.
pub(crate) fn ahead() {
    // What fails now fails again, and is told, when the launcher is started.
    let begun = begin().ok();
    *AHEAD.lock().unwrap_or_else(PoisonError::into_inner) = begun;
}

/// The path of the running binary.
const OWN_BINARY: &str = "/proc/self/exe";

fn begin() -> Result<Begun, LaunchError> {
    let failed = |what: &'static str| {
        move |error: io::Error| explain::operation(what, "", error.raw_os_error().unwrap_or(0), &[])
    };
    let binary = own_binary().map_err(failed("make a protected copy of the own binary"))?;
    let (socket, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| failed("make a socket pair")(errno.into()))?;
    let path = CString::new(format!("/proc/self/fd/{}", binary.as_raw_fd())).unwrap_or_default();
    let pid = sys::spawn::spawn(&path, NAME, theirs.as_fd())
        .map_err(|errno| failed("start the launcher process")(errno.into()))?;
    Ok(Begun {
        socket,
        process: Process { pid: Some(pid) },
        binary,
    })
}

/// Starts the zygote without waiting for it: [`ready`] does.
pub(super) fn start(options: &LauncherOptions) -> Result<Started, LaunchError> {
    let root = options.store_root.as_path();
    let shown = root.display().to_string();
    let store = rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| explain::operation("open the store", &shown, errno.raw_os_error(), &[]))?;
    let ahead = AHEAD.lock().unwrap_or_else(PoisonError::into_inner).take();
    // In this order: on a failure the socket is closed before the process is waited for.
    let Begun {
        process,
        socket: ours,
        binary,
    } = match ahead {
        Some(begun) => begun,
        None => begin()?,
    };
    let user_namespace = probe::in_user_namespace();
    let hello = Hello {
        user_namespace,
        user_xattrs: options.user_xattrs || user_namespace,
        throttled_processors: throttled_processors(),
        single_id: probe::has_single_id(),
        own_cgroup: Hierarchy::read().is_own(),
    };
    send_frame(
        ours.as_fd(),
        request::HELLO,
        &hello.encode(),
        // The last one to let go of the binary's mount waits for the kernel: that had better be the zygote, at its end.
        &[store.as_fd(), binary.as_fd()],
    )
    .map_err(gone)?;
    let site = Site {
        store_root: options.store_root.clone(),
        user_xattrs: hello.user_xattrs,
        throttled_processors: hello.throttled_processors,
        single_id: hello.single_id,
        own_cgroup: hello.own_cgroup,
    };
    Ok(Started {
        socket: ours,
        process,
        site,
    })
}

/// Waits until the zygote is ready.
pub(super) fn ready(socket: &OwnedFd) -> Result<(), LaunchError> {
    let frame = receive_frame(socket.as_fd()).map_err(gone)?;
    let frame = frame.ok_or_else(|| {
        LaunchError::Gone(
            "it did not start; `kiln_runtime::init` has to be the first call in `main`".to_owned(),
        )
    })?;
    match Answer::decode(&frame.payload) {
        Some(Answer::Ready) => Ok(()),
        Some(Answer::Failed { what, errno, .. }) => Err(explain::operation(
            &String::from_utf8_lossy(&what.0),
            "",
            errno,
            &[],
        )),
        _ => Err(gone(Errno::PROTO)),
    }
}

fn own_binary() -> io::Result<OwnedFd> {
    match read_only_clone() {
        Ok(clone) => Ok(clone),
        Err(_) => sealed_copy(),
    }
}

/// A detached read-only mount of just the binary's file.
fn read_only_clone() -> io::Result<OwnedFd> {
    let path = rustix::fs::readlinkat(CWD, OWN_BINARY, Vec::new())?;
    let clone = open_tree(
        CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    sys::mount::set_attributes(
        clone.as_fd(),
        c"",
        0,
        sys::mount::READ_ONLY | sys::mount::NO_SUID | sys::mount::NO_DEV,
    )?;
    let running = rustix::fs::stat(OWN_BINARY)?;
    let found = rustix::fs::fstat(&clone)?;
    if (running.st_dev, running.st_ino) == (found.st_dev, found.st_ino) {
        Ok(clone)
    } else {
        // The binary was replaced since it was started; the copy must be of the one that runs.
        Err(Errno::STALE.into())
    }
}

/// A copy in memory that nobody can change.
fn sealed_copy() -> io::Result<OwnedFd> {
    let memory = rustix::fs::memfd_create(
        "kiln",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC,
    )
    .or_else(|_| {
        rustix::fs::memfd_create("kiln", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
    })?;
    let mut copy = File::from(memory);
    io::copy(&mut File::open(OWN_BINARY)?, &mut copy)?;
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    // A descriptor open for writing can't be executed.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(File::open(path)?.into())
}
