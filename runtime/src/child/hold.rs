//! Handing the root of a container out, and keeping its mounts until nobody wants them any more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::streams::send_descriptor;
use super::{Context, Done};
use crate::sys::process;

/// Never returns but with a failure. All other descriptors are closed: this process must not keep anything of its parent's alive.
pub(super) fn hold_root<'a>(socket: BorrowedFd<'a>) -> Done<'a> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(c"/", flags, Mode::empty()).doing("open the root")?;
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, 3).doing("use a socket")?;
    send_descriptor(socket.as_fd(), root.as_fd()).doing("hand the root over")?;
    drop(root);
    wait_for_end(&socket);
    process::exit(0)
}

fn wait_for_end(socket: &OwnedFd) {
    let _ = rustix::thread::set_name(c"kiln-root");
    // Before 5.9 the others stay open as long as this process lives: not long.
    let _ = process::close_all_but([socket.as_fd()]);
    let mut byte = [0; 1];
    while matches!(
        rustix::io::read(socket, &mut byte),
        Ok(1..) | Err(Errno::INTR)
    ) {}
}
