//! System calls made only to see whether they are let through, each in a process of its own.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::WaitOptions;

use super::process::{exit, fork_single_threaded};

/// Seconds after which a call that waits is given up.
const LIMIT: libc::c_uint = 2;

/// What `number` answers with these arguments: 0 or an error; none if it did not come back. The process must have one thread.
pub fn call(number: i64, arguments: [i64; 3]) -> Option<i32> {
    in_child(|| {
        let [one, two, three] = arguments;
        // SAFETY: this process was forked for this call and does nothing after it but to tell its result and end. No argument
        // that callers pass is a valid pointer.
        super::check(unsafe { libc::syscall(number, one, two, three, -1_i64, -1_i64, -1_i64) })
    })
}

/// What `getpid` answers when it is made by the way of 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub fn compat_getpid() -> Option<i32> {
    /// `getpid` of 32-bit x86.
    const GETPID: i32 = 20;
    in_child(|| {
        let mut result: i32 = GETPID;
        // SAFETY: the call takes no argument and changes no memory; it leaves the registers that are not named as they were.
        unsafe {
            std::arch::asm!("int 0x80", inout("eax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        if result < 0 {
            Err(Errno::from_raw_os_error(-result))
        } else {
            Ok(i64::from(result))
        }
    })
}

/// There is no such way.
#[cfg(not(target_arch = "x86_64"))]
pub fn compat_getpid() -> Option<i32> {
    Some(Errno::NOSYS.raw_os_error())
}

fn in_child(act: impl FnOnce() -> Result<libc::c_long, Errno>) -> Option<i32> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
    let Some(child) = fork_single_threaded().ok()? else {
        // SAFETY: only sets a timer of this process, whose signal ends it.
        unsafe { libc::alarm(LIMIT) };
        let answer = act().err().map_or(0, Errno::raw_os_error);
        let _ = rustix::io::write(&writer, &answer.to_ne_bytes());
        exit(0)
    };
    drop(writer);
    let mut answer = [0; 4];
    let length = rustix::io::read(reader.as_fd(), &mut answer);
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
    let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
    (length == Ok(answer.len())).then_some(i32::from_ne_bytes(answer))
}
