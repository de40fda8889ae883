//! A published TCP port.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::Part;
use super::direction::Direction;
use super::listen::Bound;
use crate::container::ports::BoundPort;

/// Connections accepted before others get their turn.
const ACCEPT_BATCH: usize = 32;

/// One listening socket and its connections.
#[derive(Debug)]
pub(super) struct TcpProxy {
    bound: Bound,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    /// No descriptor was left for a new connection: listening pauses until one ends.
    exhausted: bool,
}

#[derive(Debug)]
struct Connection {
    client: OwnedFd,
    backend: OwnedFd,
    /// Addresses inside that are still to be tried, while connecting.
    connecting: Option<Vec<SocketAddr>>,
    inward: Direction,
    outward: Direction,
}

impl TcpProxy {
    pub(super) fn new(bound: Bound) -> Self {
        Self {
            bound,
            connections: BTreeMap::new(),
            next: 0,
            exhausted: false,
        }
    }

    pub(super) fn port(&self) -> BoundPort {
        self.bound.port
    }

    pub(super) fn interests<'a>(&'a self, add: &mut dyn FnMut(Part, BorrowedFd<'a>, PollFlags)) {
        if !self.exhausted {
            add(Part::Listener, self.bound.socket.as_fd(), PollFlags::IN);
        }
        for (&number, connection) in &self.connections {
            if connection.connecting.is_some() {
                add(
                    Part::Backend(number),
                    connection.backend.as_fd(),
                    PollFlags::OUT,
                );
                continue;
            }
            let sides = [
                (
                    Part::Client(number),
                    &connection.client,
                    &connection.inward,
                    &connection.outward,
                ),
                (
                    Part::Backend(number),
                    &connection.backend,
                    &connection.outward,
                    &connection.inward,
                ),
            ];
            for (part, socket, from_it, to_it) in sides {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::IN, from_it.wants_input());
                flags.set(PollFlags::OUT, to_it.wants_output());
                // A side that is done in both ways would report its hang-up again and again.
                if !flags.is_empty() {
                    add(part, socket.as_fd(), flags);
                }
            }
        }
    }

    pub(super) fn serve(&mut self, part: Part, ready: PollFlags, buffer: &mut [u8]) {
        let number = match part {
            Part::Listener => return self.accept(),
            Part::Client(number) | Part::Backend(number) => number,
        };
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let alive = if connection.connecting.is_some() {
            connection.connected()
        } else {
            connection.pump(ready, buffer).unwrap_or(false)
        };
        if !alive {
            self.connections.remove(&number);
            self.exhausted = false;
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_BATCH {
            match net::accept_with(
                &self.bound.socket,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            ) {
                Ok(client) => match Connection::open(client, &self.bound) {
                    Ok(connection) => {
                        self.connections.insert(self.next, connection);
                        self.next += 1;
                    }
                    // The client sees its connection closed, as with a server that is not there.
                    Err(_) => continue,
                },
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.exhausted = !self.connections.is_empty();
                    return;
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {}
            }
        }
    }
}

impl Connection {
    /// Begins to connect to the container's port: at its address, or on loopback inside its namespace.
    fn open(client: OwnedFd, bound: &Bound) -> Result<Self, Errno> {
        let port = bound.port.container.number;
        let mut candidates = match bound.backend {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => vec![
                SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            ],
        };
        let (backend, connected) = connect(&mut candidates)?;
        // Proxies add no delay of their own to small writes.
        let _ = sockopt::set_tcp_nodelay(&client, true);
        let connecting = (!connected).then_some(candidates);
        Ok(Self {
            client,
            backend,
            connecting,
            inward: Direction::default(),
            outward: Direction::default(),
        })
    }

    /// The outcome of connecting; false when no address answers.
    fn connected(&mut self) -> bool {
        match sockopt::socket_error(&self.backend) {
            Ok(Ok(())) => {
                self.connecting = None;
                true
            }
            _ => {
                let Some(candidates) = &mut self.connecting else {
                    return true;
                };
                let Ok((backend, connected)) = connect(candidates) else {
                    return false;
                };
                self.backend = backend;
                if connected {
                    self.connecting = None;
                }
                true
            }
        }
    }

    /// Moves bytes in the directions that are ready; false when the connection is over.
    fn pump(&mut self, ready: PollFlags, buffer: &mut [u8]) -> Result<bool, Errno> {
        if ready.contains(PollFlags::ERR) {
            return Ok(false);
        }
        self.inward
            .pump(self.client.as_fd(), self.backend.as_fd(), buffer)?;
        self.outward
            .pump(self.backend.as_fd(), self.client.as_fd(), buffer)?;
        Ok(!(self.inward.is_finished() && self.outward.is_finished()))
    }
}

/// Begins a connection to the last candidate that can be tried; whether it stands already.
fn connect(candidates: &mut Vec<SocketAddr>) -> Result<(OwnedFd, bool), Errno> {
    let mut failure = Errno::CONNREFUSED;
    while let Some(address) = candidates.pop() {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = match net::socket_with(
            family,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        ) {
            Ok(socket) => socket,
            Err(errno) => {
                failure = errno;
                continue;
            }
        };
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        match net::connect(&socket, &address) {
            Ok(()) => return Ok((socket, true)),
            Err(Errno::INPROGRESS) => return Ok((socket, false)),
            Err(errno) => failure = errno,
        }
    }
    Err(failure)
}
