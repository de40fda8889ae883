//! The socket on which one request is answered.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};

use super::gone;
use crate::transport::receive_with_fds;
use crate::wire::Wire;
use crate::zygote::protocol::Answer;
use crate::{Exit, LaunchError, explain};

/// Room for the longest answer: a full report pipe (64 KiB) and what surrounds it.
const ANSWER_LIMIT: usize = (64 << 10) + 256;

/// Our end, and the one that the zygote gets.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), LaunchError> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| explain::operation("make a socket pair", "", errno.raw_os_error(), &[]))
}

/// Reads answers in order.
#[derive(Debug)]
pub(super) struct Answers {
    socket: OwnedFd,
}

impl Answers {
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Waits until the process was cloned.
    pub fn started(&mut self) -> Result<(u32, OwnedFd), LaunchError> {
        let mut buffer = [0; 1024];
        match self.next(&mut buffer)? {
            (Answer::Started { pid }, mut fds) if !fds.is_empty() => Ok((pid, fds.remove(0))),
            _ => Err(gone(Errno::PROTO)),
        }
    }

    /// Waits until the process has ended; also returns the namespace that keeps its mounts, and its report.
    pub fn ended(&mut self) -> Result<(Exit, Option<OwnedFd>, Vec<u8>), LaunchError> {
        let mut buffer = vec![0; self.next_length()?];
        let (answer, fds) = self.next(&mut buffer)?;
        let mounts = fds.into_iter().next();
        match answer {
            Answer::Ended {
                code,
                signal: 0,
                report,
            } => Ok((Exit::Code(code), mounts, report.0)),
            Answer::Ended { signal, report, .. } => Ok((Exit::Signal(signal), mounts, report.0)),
            _ => Err(gone(Errno::PROTO)),
        }
    }

    /// Waits for the next answer and says how long it is: few are as long as they may be.
    fn next_length(&self) -> Result<usize, LaunchError> {
        loop {
            match recv(
                &self.socket,
                &mut [0; 1],
                RecvFlags::PEEK | RecvFlags::TRUNC,
            ) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(gone(errno)),
                Ok((_, length)) => return Ok(length.min(ANSWER_LIMIT)),
            }
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<(Answer, Vec<OwnedFd>), LaunchError> {
        let (length, fds) = receive_with_fds(self.socket.as_fd(), buffer).map_err(gone)?;
        if length == 0 {
            return Err(gone(Errno::CONNRESET));
        }
        match Answer::decode(&buffer[..length]).ok_or_else(|| gone(Errno::PROTO))? {
            Answer::Failed {
                what,
                object,
                errno,
            } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Err(explain::operation(
                    &text(&what.0),
                    &text(&object.0),
                    errno,
                    &[],
                ))
            }
            answer => Ok((answer, fds)),
        }
    }
}
