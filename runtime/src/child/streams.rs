//! Standard streams: given files, or a terminal of the container's own devpts.

use std::ffi::CStr;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};

use super::kernel::attach;
use super::{Child, Context, Done};
use crate::sys;
use crate::sys::process::duplicate_onto;

impl<'a> Child<'a> {
    /// Takes three descriptors as standard streams. Pipes and terminals become the user's, so that it can open
    /// `/dev/stdout` again.
    pub(super) fn take_streams(&self, indices: [u32; 3], owner: u32) -> Done<'a> {
        for (number, index) in indices.into_iter().enumerate() {
            let fd = self.fd(index)?;
            if owner != 0 {
                own(fd, owner);
            }
            duplicate_onto(fd, number as i32).doing("take the standard streams")?;
        }
        Ok(())
    }

    /// Opens a terminal. `/dev/pts` is a mount of ours that the container can't replace; its type is checked all the
    /// same, because a process may join a container that runs hostile code.
    pub(super) fn console(
        &self,
        socket: u32,
        size: (u16, u16),
        bind: bool,
        owner: u32,
    ) -> Done<'a> {
        let multiplexer = open_multiplexer().doing_to("open", c"/dev/pts/ptmx")?;
        rustix::pty::unlockpt(&multiplexer).doing("unlock the terminal")?;
        let terminal = ioctl_tiocgptpeer(
            &multiplexer,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )
        .doing("open the terminal")?;
        let size = rustix::termios::Winsize {
            ws_row: size.0,
            ws_col: size.1,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        if size.ws_row != 0 {
            rustix::termios::tcsetwinsize(&terminal, size).doing("set the size of the terminal")?;
        }
        if owner != 0 {
            own(terminal.as_fd(), owner);
        }
        if bind {
            bind_console(&terminal).doing_to("mount the terminal on", c"/dev/console")?;
        }
        send_descriptor(self.fd(socket)?, multiplexer.as_fd()).doing("hand over the terminal")?;
        sys::terminal::take_control(terminal.as_fd()).doing("take control of the terminal")?;
        for number in 0..3 {
            duplicate_onto(terminal.as_fd(), number).doing("take the standard streams")?;
        }
        Ok(())
    }
}

/// Failing is fine: files that can't change hands are left as they are.
fn own(fd: BorrowedFd<'_>, owner: u32) {
    let Ok(stat) = rustix::fs::fstat(fd) else {
        return;
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    let terminal = kind == FileType::CharacterDevice && rustix::termios::isatty(fd);
    if kind == FileType::Fifo || kind == FileType::Socket || terminal {
        let _ = rustix::fs::fchown(fd, Some(rustix::fs::Uid::from_raw(owner)), None);
    }
}

fn open_multiplexer() -> Result<OwnedFd, Errno> {
    /// `DEVPTS_SUPER_MAGIC` of `linux/magic.h`.
    const DEVPTS: i64 = 0x1cd1;
    let path: &CStr = c"/dev/pts/ptmx";
    let fd = rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if rustix::fs::fstatfs(&fd)?.f_type as i64 == DEVPTS {
        Ok(fd)
    } else {
        Err(Errno::NOTTY)
    }
}

fn bind_console(terminal: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::open(c"/dev/console", flags, Mode::from_raw_mode(0o600))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(terminal, c"", flags)?;
    attach(&mount, &place)
}

pub(super) fn send_descriptor(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let fds = [fd];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        socket,
        &[IoSlice::new(b"t")],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map(drop)
}
