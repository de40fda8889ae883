//! System calls that a process asks another one about (`seccomp_unotify(2)`), and marks on processes.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::check;

/// `struct seccomp_notif` of `linux/seccomp.h`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct RawNotification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct RawReply {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct RawDescriptor {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

/// `SECCOMP_IOCTL_NOTIF_*`: the same on all architectures whose `ioctl` numbers are the generic ones.
const RECEIVE: libc::c_ulong = 0xC050_2100;
const SEND: libc::c_ulong = 0xC018_2101;
const IS_VALID: libc::c_ulong = 0x4008_2102;
const ADD_DESCRIPTOR: libc::c_ulong = 0x4018_2103;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND` (5.14).
const AND_SEND: u32 = 2;
/// A limit on a thing that Linux no longer has (since 2.4.25). It is inherited by fork, kept by exec and can be set from
/// outside, so it can carry a mark.
const MARK: libc::c_uint = 10; // RLIMIT_LOCKS

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// Its number among the calls that wait.
    pub id: u64,
    /// The thread that makes it.
    pub pid: u32,
    /// The number of the system call.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The kernel does it.
    Go,
    /// It returns this.
    Value(i64),
    /// It fails.
    Fail(Errno),
    /// It was answered already.
    Done,
}

/// Loads a filter, and returns the descriptor on which the calls that it asks about arrive.
pub fn listen(program: &[u8]) -> Result<OwnedFd, Errno> {
    /// `SECCOMP_SET_MODE_FILTER`.
    const SET_MODE_FILTER: libc::c_long = 1;
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    const NEW_LISTENER: libc::c_long = 1 << 3;
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (5.19): signals don't interrupt a call that is being answered.
    const WAIT_KILLABLE: libc::c_long = 1 << 5;
    let length = u16::try_from(program.len() / 8).map_err(|_| Errno::TOOBIG)?;
    let descriptor = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut().cast(),
    };
    let load = |flags: libc::c_long| {
        // SAFETY: the kernel copies `length` instructions from the program, which is that long; user copies need no alignment.
        check(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                SET_MODE_FILTER,
                flags,
                &raw const descriptor,
            )
        })
    };
    let fd = match load(NEW_LISTENER | WAIT_KILLABLE) {
        Err(Errno::INVAL) => load(NEW_LISTENER),
        other => other,
    }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Takes the next call.
pub fn receive(listener: BorrowedFd<'_>) -> Result<Notification, Errno> {
    let mut raw = RawNotification::default();
    // SAFETY: the structure is the one that this request fills, and zeroed as it asks for.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut raw) }.into())?;
    Ok(Notification {
        id: raw.id,
        pid: raw.pid,
        number: raw.number as u32,
        arguments: raw.arguments,
    })
}

/// Answers a call.
pub fn reply(listener: BorrowedFd<'_>, id: u64, reply: Reply) -> Result<(), Errno> {
    let (value, error, flags) = match reply {
        Reply::Go => (0, 0, CONTINUE),
        Reply::Value(value) => (value, 0, 0),
        Reply::Fail(errno) => (0, -errno.raw_os_error(), 0),
        Reply::Done => return Ok(()),
    };
    let mut raw = RawReply {
        id,
        value,
        error,
        flags,
    };
    // SAFETY: the structure is the one that this request reads.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw mut raw) }.into()).map(drop)
}

/// Whether the caller still waits: until then its process id is its own.
pub fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    let mut id = id;
    // SAFETY: the request reads one number.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), IS_VALID, &raw mut id) }.into()).is_ok()
}

/// Gives the caller a descriptor, whose number its call returns.
pub fn give(
    listener: BorrowedFd<'_>,
    id: u64,
    file: BorrowedFd<'_>,
    close_on_exec: bool,
) -> Result<(), Errno> {
    let mut raw = RawDescriptor {
        id,
        flags: AND_SEND,
        source: file.as_raw_fd() as u32,
        target: 0,
        target_flags: if close_on_exec {
            libc::O_CLOEXEC as u32
        } else {
            0
        },
    };
    // SAFETY: the structure is the one that this request reads.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), ADD_DESCRIPTOR, &raw mut raw) }.into())
        .map(drop)
}

/// The mark of a process; nothing if it has none.
pub fn mark(pid: u32) -> Result<Option<u64>, Errno> {
    let limits = limits(pid, None)?;
    Ok((limits.rlim_cur != libc::RLIM_INFINITY).then_some(limits.rlim_cur))
}

/// Marks a process. Its children inherit the mark.
pub fn set_mark(pid: u32, mark: u64) -> Result<(), Errno> {
    let old = limits(pid, None)?;
    let new = libc::rlimit {
        rlim_cur: mark,
        rlim_max: old.rlim_max,
    };
    limits(pid, Some(new)).map(drop)
}

fn limits(pid: u32, new: Option<libc::rlimit>) -> Result<libc::rlimit, Errno> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both limits are valid for the call, or null.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, MARK, new, &raw mut old) })?;
    Ok(old)
}

/// What `stat` says of an open file, as the caller of `stat` gets it, with other owners and, if given, permissions.
pub fn status(
    file: BorrowedFd<'_>,
    uid: u32,
    gid: u32,
    mode: Option<u32>,
) -> Result<Vec<u8>, Errno> {
    // SAFETY: all zeros are a valid value of this structure of numbers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is valid for the call.
    check(unsafe { libc::fstat(file.as_raw_fd(), &raw mut status) }.into())?;
    (status.st_uid, status.st_gid) = (uid, gid);
    if let Some(mode) = mode {
        status.st_mode = status.st_mode & libc::S_IFMT | mode;
    }
    Ok(bytes_of(&status))
}

/// The same of `statx`.
pub fn extended_status(
    file: BorrowedFd<'_>,
    flags: i32,
    mask: u32,
    owner: (u32, u32),
    mode: Option<u32>,
) -> Result<Vec<u8>, Errno> {
    // SAFETY: all zeros are a valid value of this structure of numbers.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let fd = file.as_raw_fd();
    let flags = flags | libc::AT_EMPTY_PATH;
    // SAFETY: the structure is valid for the call, the path is a constant.
    check(unsafe {
        libc::syscall(
            libc::SYS_statx,
            fd,
            c"".as_ptr(),
            flags,
            mask,
            &raw mut status,
        )
    })?;
    (status.stx_uid, status.stx_gid) = owner;
    if let Some(mode) = mode {
        status.stx_mode = status.stx_mode & libc::S_IFMT as u16 | mode as u16;
    }
    Ok(bytes_of(&status))
}

/// The bytes of one of the kernel's structures.
fn bytes_of<T: Copy>(value: &T) -> Vec<u8> {
    // SAFETY: these structures come from zeroed memory, so that their padding is initialised; the slice lives as long as the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }.to_vec()
}
