//! One direction of a connection: bytes from one socket to another, with back-pressure and half-close.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown};

/// Bytes on their way. Memory is held only while the receiver is slower than the sender.
#[derive(Debug, Default)]
pub(super) struct Direction {
    pending: Vec<u8>,
    sent: usize,
    /// The sender has finished.
    ended: bool,
    /// The receiver was told.
    closed: bool,
}

impl Direction {
    /// Whether the sender should be read from: not before the last bytes are gone.
    pub(super) fn wants_input(&self) -> bool {
        !self.ended && self.pending.is_empty()
    }

    /// Whether bytes wait for the receiver.
    pub(super) fn wants_output(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether everything has been carried over.
    pub(super) fn is_finished(&self) -> bool {
        self.closed
    }

    /// Moves what can be moved now. An error means that the connection is broken.
    pub(super) fn pump(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> Result<(), Errno> {
        if !self.flush(to)? {
            return Ok(());
        }
        if !self.ended {
            match net::recv(from, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => self.ended = true,
                Ok((_, count)) => {
                    let sent = send(to, &buffer[..count])?;
                    self.pending.extend_from_slice(&buffer[sent..count]);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.close(to)
    }

    /// Sends what waits; whether nothing waits any more.
    fn flush(&mut self, to: BorrowedFd<'_>) -> Result<bool, Errno> {
        if self.pending.is_empty() {
            return Ok(true);
        }
        self.sent += send(to, &self.pending[self.sent..])?;
        if self.sent < self.pending.len() {
            return Ok(false);
        }
        self.pending = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    /// Passes the end of the stream on, once all bytes are gone.
    fn close(&mut self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.ended && !self.closed && self.pending.is_empty() {
            self.closed = true;
            match net::shutdown(to, Shutdown::Write) {
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Sends what the socket takes without waiting.
fn send(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    match net::send(to, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(count) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(errno) => Err(errno),
    }
}
