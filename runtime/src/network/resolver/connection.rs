//! Questions over a connection (RFC 7766): each message behind its length in two bytes. For answers that no datagram holds.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};

use super::message::{failure, question};
use super::{Names, outside, own_answer};

/// How long a connection may stand still.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes taken at once.
const CHUNK: usize = 4096;

/// A connection from inside.
#[derive(Debug)]
pub(super) struct Connection {
    client: OwnedFd,
    state: State,
    /// When it is given up.
    pub deadline: Instant,
}

#[derive(Debug)]
enum State {
    /// A question comes in.
    Asked(Vec<u8>),
    /// A question goes out to a resolver: what is left of it.
    Asking(OwnedFd, Vec<u8>),
    /// An answer comes in from there.
    Waiting(OwnedFd, Vec<u8>),
    /// An answer goes to the client: what is left of it.
    Answering(Vec<u8>),
}

impl Connection {
    pub(super) fn new(client: OwnedFd) -> Result<Self, Errno> {
        fcntl_setfl(&client, fcntl_getfl(&client)? | OFlags::NONBLOCK)?;
        Ok(Self {
            client,
            state: State::Asked(Vec::new()),
            deadline: Instant::now() + PATIENCE,
        })
    }

    /// What to wait for.
    pub(super) fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        match &self.state {
            State::Asked(_) => (self.client.as_fd(), PollFlags::IN),
            State::Asking(upstream, _) => (upstream.as_fd(), PollFlags::OUT),
            State::Waiting(upstream, _) => (upstream.as_fd(), PollFlags::IN),
            State::Answering(_) => (self.client.as_fd(), PollFlags::OUT),
        }
    }

    /// Does what can be done now. An error means that the connection is over.
    pub(super) fn advance(
        &mut self,
        upstream: Option<IpAddr>,
        names: Names<'_>,
    ) -> Result<(), Errno> {
        self.deadline = Instant::now() + PATIENCE;
        let next = match &mut self.state {
            State::Asked(bytes) => match receive(self.client.as_fd(), bytes)? {
                Some(message) => Some(begin(&message, upstream, names)?),
                None => None,
            },
            State::Asking(socket, left) => {
                if transmit(socket.as_fd(), left)? {
                    Some(State::Waiting(
                        socket.try_clone().map_err(|_| Errno::MFILE)?,
                        Vec::new(),
                    ))
                } else {
                    None
                }
            }
            State::Waiting(socket, bytes) => {
                receive(socket.as_fd(), bytes)?.map(|answer| State::Answering(framed(&answer)))
            }
            State::Answering(left) => {
                transmit(self.client.as_fd(), left)?.then(|| State::Asked(Vec::new()))
            }
        };
        if let Some(next) = next {
            self.state = next;
        }
        Ok(())
    }
}

/// What to do about a question.
fn begin(message: &[u8], upstream: Option<IpAddr>, names: Names<'_>) -> Result<State, Errno> {
    if let Some(answer) = own_answer(message, names) {
        return Ok(State::Answering(framed(&answer)));
    }
    match upstream.map(|upstream| outside(upstream, SocketType::STREAM)) {
        Some(Ok(socket)) => Ok(State::Asking(socket, framed(message))),
        _ => {
            let question = question(message).ok_or(Errno::PROTO)?;
            Ok(State::Answering(framed(&failure(message, &question))))
        }
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = message.len() as u16;
    [&length.to_be_bytes(), message].concat()
}

/// Takes bytes until a message is whole.
fn receive(from: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Errno> {
    let mut chunk = [0; CHUNK];
    match recv(from, &mut chunk[..], RecvFlags::DONTWAIT) {
        Ok((_, 0)) => return Err(Errno::PIPE),
        Ok((_, length)) => bytes.extend_from_slice(&chunk[..length]),
        Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    let Some(length) = bytes.first_chunk::<2>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    // What follows a message is lost: a client that does not wait for its answer asks again.
    Ok(bytes.get(2..2 + length).map(<[u8]>::to_vec))
}

/// Sends what can be sent; whether nothing is left.
fn transmit(to: BorrowedFd<'_>, left: &mut Vec<u8>) -> Result<bool, Errno> {
    match send(to, left, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(count) => {
            left.drain(..count);
            Ok(left.is_empty())
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}
