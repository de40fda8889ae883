//! The user's terminal for a shell in a step's container: raw bytes both ways until the shell ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use kiln_runtime::{Exit, Launcher, Spec, Stdio};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::isatty;

use crate::terminal::{RawMode, size};

/// Carried at once: more than anybody types, and a screenful.
const BUFFER: usize = 16 << 10;

/// Runs the process of `spec` on the user's terminal, or on plain standard streams where there is none.
pub fn shell(launcher: &Launcher, spec: &Spec) -> Result<Exit, String> {
    let stdin = std::io::stdin();
    let run = match isatty(&stdin) {
        true => on_terminal(launcher, spec),
        false => on_streams(launcher, spec),
    };
    run.map_err(|error| format!("{error:#}"))
}

fn on_streams(launcher: &Launcher, spec: &Spec) -> anyhow::Result<Exit> {
    let stdio = Stdio::Files {
        stdin: std::io::stdin().as_fd().try_clone_to_owned()?,
        stdout: std::io::stdout().as_fd().try_clone_to_owned()?,
        stderr: std::io::stderr().as_fd().try_clone_to_owned()?,
    };
    Ok(launcher.spawn(spec, stdio)?.wait()?)
}

fn on_terminal(launcher: &Launcher, spec: &Spec) -> anyhow::Result<Exit> {
    let (ours, theirs) = UnixStream::pair()?;
    let stdio = Stdio::Terminal {
        socket: theirs.into(),
        size: size(),
    };
    let child = launcher.spawn(spec, stdio)?;
    let master = receive(&ours.into())?;
    let raw = RawMode::enter()?;
    let carried = carry(&master);
    drop(raw);
    let exit = child.wait()?;
    carried?;
    Ok(exit)
}

/// The master end of the container's terminal.
fn receive(socket: &OwnedFd) -> anyhow::Result<OwnedFd> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [std::io::IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    anyhow::bail!("the container's terminal did not arrive")
}

/// Carries bytes both ways until the container's side ends.
fn carry(master: &OwnedFd) -> anyhow::Result<()> {
    let mut master_file = File::from(master.try_clone()?);
    let (stdin, mut stdout) = (std::io::stdin(), std::io::stdout().lock());
    let mut typed = Some(File::from(stdin.as_fd().try_clone_to_owned()?));
    let mut buffer = vec![0; BUFFER];
    loop {
        let (from_user, from_shell) = {
            let mut waiting = vec![PollFd::new(master, PollFlags::IN)];
            waiting.extend(typed.iter().map(|typed| PollFd::new(typed, PollFlags::IN)));
            match poll(&mut waiting, None) {
                Ok(_) => {}
                Err(Errno::INTR) => {
                    // The size of the window may be what interrupted.
                    let now = size();
                    let size = rustix::termios::Winsize {
                        ws_row: now.rows,
                        ws_col: now.columns,
                        ws_xpixel: 0,
                        ws_ypixel: 0,
                    };
                    let _ = rustix::termios::tcsetwinsize(master, size);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let ready = |at: usize| waiting.get(at).is_some_and(|fd| !fd.revents().is_empty());
            (ready(1), ready(0))
        };
        if from_shell {
            match master_file.read(&mut buffer) {
                // The end of a terminal is an error of its own.
                Ok(0) | Err(_) => return Ok(()),
                Ok(length) => {
                    stdout.write_all(&buffer[..length])?;
                    stdout.flush()?;
                }
            }
        }
        if from_user && let Some(file) = &mut typed {
            match file.read(&mut buffer)? {
                0 => typed = None,
                length => master_file.write_all(&buffer[..length])?,
            }
        }
    }
}
