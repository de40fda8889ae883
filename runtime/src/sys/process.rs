//! Making, joining and signalling processes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use super::{check, last_error};

/// What `clone3` returned, in whichever process it did.
#[derive(Debug)]
pub enum Cloned {
    /// In the child.
    Child,
    /// In the parent.
    Parent {
        /// The child's process id.
        pid: u32,
        /// The child.
        pidfd: OwnedFd,
    },
}

/// `CLONE_INTO_CGROUP` of `linux/sched.h` (5.7).
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// The argument of `clone3` (`linux/sched.h`), up to the field of version 2.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks a child into new namespaces (`flags`), and into a cgroup v2 directory if one is given.
///
/// Where `clone3` is missing or filtered, falls back to `clone`; that one can't place the child in a cgroup.
/// The process must be single-threaded, because the child's copy of libc believes to be the parent's thread: only a
/// [`crate::Parent`] calls this, and its child goes straight on to its plan.
pub fn clone_child(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned, Errno> {
    match clone_raw(flags, cgroup)? {
        None => Ok(Cloned::Child),
        Some((pid, pidfd)) => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid, pidfd })
        }
    }
}

/// Forks a child of this process into the pid namespace of `init`, and otherwise as [`clone_child`].
///
/// A helper in between enters the namespace, because a process that has done so may not be able to come back. It shares our
/// descriptors, so that the child's pidfd is ours, and leaves us as the child's parent.
pub fn clone_child_inside(
    init: BorrowedFd<'_>,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Cloned, Errno> {
    let (answer, question) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let Some((_, helper)) = clone_raw(libc::CLONE_FILES as u64, None)? else {
        let cloned = join_namespaces(init, libc::CLONE_NEWPID)
            .and_then(|()| clone_raw(libc::CLONE_PARENT as u64, cgroup));
        let [errno, pid, pidfd] = match cloned {
            Ok(None) => return Ok(Cloned::Child),
            Ok(Some((pid, pidfd))) => [0, pid as i32, pidfd],
            Err(errno) => [errno.raw_os_error(), 0, 0],
        };
        let mut bytes = [0; 12];
        for (place, number) in bytes.chunks_exact_mut(4).zip([errno, pid, pidfd]) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        // A parent that has gone needs no answer. The descriptors are the parent's, so nothing is dropped here.
        let _ = rustix::io::write(&question, &bytes);
        exit(0)
    };
    // SAFETY: the kernel has just made this descriptor for us.
    let helper = unsafe { OwnedFd::from_raw_fd(helper) };
    let status = rustix::process::waitid(
        rustix::process::WaitId::PidFd(helper.as_fd()),
        rustix::process::WaitIdOptions::EXITED,
    );
    drop(question);
    status?;
    let mut bytes = [0; 12];
    if rustix::io::read(&answer, &mut bytes)? != bytes.len() {
        return Err(Errno::CHILD);
    }
    let number =
        |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    match number(0) {
        0 => {
            // SAFETY: the helper has made this descriptor in the table that it shared with us, for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(number(8)) };
            Ok(Cloned::Parent {
                pid: number(4) as u32,
                pidfd,
            })
        }
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

/// Nothing in the child; its process id and a descriptor of it in the parent.
fn clone_raw(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Option<(u32, i32)>, Errno> {
    let mut pidfd: libc::c_int = -1;
    // The child of our own parent tells it as we would.
    let signal = if flags & libc::CLONE_PARENT as u64 == 0 {
        libc::SIGCHLD
    } else {
        0
    };
    let mut arguments = CloneArguments {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: signal as u64,
        ..CloneArguments::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = size_of::<CloneArguments>();
    // SAFETY: the arguments outlive the call; without CLONE_VM the child runs on its own copy of this stack.
    let mut pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) });
    if pid == Err(Errno::NOSYS) && cgroup.is_none() {
        let flags = flags | (libc::CLONE_PIDFD | signal) as u64;
        // SAFETY: as above; the second argument keeps the stack, the third receives the pidfd.
        pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) });
    }
    Ok(match pid? {
        0 => None,
        pid => Some((pid as u32, pidfd)),
    })
}

/// Forks a full copy of this process, libc included. The process must have one thread.
pub fn fork_single_threaded() -> Result<Option<Pid>, Errno> {
    // SAFETY: nothing but this thread can hold a lock, as checked by the caller's role: the zygote and the entry into a user
    // namespace run before any thread is made.
    match unsafe { libc::fork() } {
        -1 => Err(last_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Lets a command's process be killed when the thread that starts it ends.
pub fn end_with_parent(command: &mut std::process::Command) {
    let follow = || {
        let signal = Some(rustix::process::Signal::KILL);
        Ok(rustix::process::set_parent_process_death_signal(signal)?)
    };
    // SAFETY: one system call without memory of its own, as is allowed between fork and exec.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, follow) };
}

/// Takes standard input as an owned descriptor, moved out of the way of the standard numbers.
pub fn take_standard_input() -> Option<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).ok()
}

/// Connects the standard streams to the null device.
pub fn silence() -> Result<(), Errno> {
    let null = rustix::fs::open(
        c"/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    (0..3).try_for_each(|number| duplicate_onto(null.as_fd(), number))
}

/// Ends this process at once, without running anything.
pub fn exit(code: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(code) }
}

/// Moves this process into new namespaces of its own.
pub fn unshare(flags: i32) -> Result<(), Errno> {
    // SAFETY: only namespace flags are passed by callers; memory and descriptors are untouched.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// Moves this process into namespaces of the process behind `pidfd`.
pub fn join_namespaces(pidfd: BorrowedFd<'_>, flags: i32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_setns, pidfd.as_raw_fd(), flags) }).map(drop)
}

/// Sends signal number `signal` to the process behind `pidfd`.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: no signal information is passed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0, 0) })
        .map(drop)
}

/// A descriptor of the mount namespace of the process behind `pidfd`, which keeps its mounts until it is closed (6.11).
pub fn mount_namespace(pidfd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    /// `PIDFD_GET_MNT_NAMESPACE` of `linux/pidfd.h`: `_IO(0xFF, 3)`.
    const GET_MOUNT_NAMESPACE: libc::c_ulong = 0xFF03;
    // SAFETY: this request takes no argument and returns a new descriptor.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_ioctl, pidfd.as_raw_fd(), GET_MOUNT_NAMESPACE, 0)
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Marks every descriptor from `first` on as close-on-exec.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    /// `CLOSE_RANGE_CLOEXEC` of `linux/close_range.h` (5.11).
    const ON_EXEC: libc::c_uint = 4;
    // SAFETY: only flags change.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, ON_EXEC) }).map(drop)
}

/// Closes every descriptor above the standard ones but those that are `kept`. For a process that has just started, whose other
/// descriptors were leaked into it or are its parent's business.
pub fn close_all_but<const N: usize>(kept: [BorrowedFd<'_>; N]) -> Result<(), Errno> {
    let mut kept = kept.map(|fd| fd.as_raw_fd() as u32);
    kept.sort_unstable();
    let mut first = 3;
    for number in kept {
        close_range(first, number.checked_sub(1))?;
        first = number + 1;
    }
    close_range(first, Some(u32::MAX))
}

fn close_range(first: u32, last: Option<u32>) -> Result<(), Errno> {
    let Some(last) = last.filter(|last| first <= *last) else {
        return Ok(());
    };
    // SAFETY: nothing in this process uses these descriptors again: see the function above.
    match check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }) {
        // Before 5.9: they stay open until exec, which containers begin with.
        Ok(_) | Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Takes ownership of the three standard streams' numbers for a process that replaces them: makes `fd` the number `to`.
pub fn duplicate_onto(fd: BorrowedFd<'_>, to: i32) -> Result<(), Errno> {
    // SAFETY: replaces one of 0, 1, 2, which this process owns by convention.
    check(unsafe { libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), to, 0) }).map(drop)
}

/// Joins a new anonymous session keyring.
pub fn new_session_keyring() -> Result<(), Errno> {
    /// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0, 0, 0, 0) }).map(drop)
}

/// Sets a resource limit of this process, first clamped to its hard limit if it may not be raised.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let wanted = libc::rlimit64 {
        rlim_cur: soft.min(hard),
        rlim_max: hard,
    };
    match limit(resource, Some(&wanted)) {
        Err(Errno::PERM) => {
            let most = limit(resource, None)?.rlim_max;
            let hard = hard.min(most);
            limit(
                resource,
                Some(&libc::rlimit64 {
                    rlim_cur: soft.min(hard),
                    rlim_max: hard,
                }),
            )
            .map(drop)
        }
        other => other.map(drop),
    }
}

fn limit(resource: u32, new: Option<&libc::rlimit64>) -> Result<libc::rlimit64, Errno> {
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null or valid for the call.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, &raw mut old) })?;
    Ok(old)
}

/// Checks that the working directory is below the root directory: the kernel says "(unreachable)" otherwise.
pub fn check_working_directory() -> Result<(), Errno> {
    let mut buffer = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer is valid for its length.
    let length =
        check(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) });
    match length {
        Ok(_) if buffer[0] == b'/' => Ok(()),
        Ok(_) => Err(Errno::XDEV),
        Err(Errno::RANGE) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: for a process that goes on without any of them; nothing of ours is dropped afterwards.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}
