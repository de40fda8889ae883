//! The name server of a container, in its monitor: names of containers are answered here, all others by the host's resolvers.
//!
//! It listens inside the container's network and asks outside from the host's, so that a resolver on the host's loopback is as
//! good as any other. A question is looked up when it comes: containers that start later are found, those that ended are not.

mod connection;
mod message;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, acceptfrom, connect, recv,
    recvfrom, send, sendto, socket_with,
};

pub(crate) use message::{Known, Wanted};

use super::namespace::ResolverSockets;
use connection::Connection;
use message::{Question, answer, failure, is_answer, question};

/// How long one resolver has for an answer; the next one is asked then.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions under way; the oldest goes for a new one.
const PENDING_LIMIT: usize = 256;
/// Connections at once.
const CONNECTION_LIMIT: usize = 32;
/// Largest datagram (RFC 6891 lets both sides agree on up to this).
const DATAGRAM: usize = 65535;
/// Datagrams taken before others get their turn.
const BATCH: usize = 32;
/// Where resolvers listen.
const PORT: u16 = 53;

/// Who knows names and addresses.
pub(crate) type Names<'a> = &'a dyn Fn(&str, Wanted) -> Option<Known>;

/// A running name server.
#[derive(Debug)]
pub(crate) struct Resolver {
    sockets: ResolverSockets,
    upstreams: Vec<IpAddr>,
    pending: BTreeMap<u64, Pending>,
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

/// A question that a resolver outside was asked.
#[derive(Debug)]
struct Pending {
    client: SocketAddr,
    message: Vec<u8>,
    /// Resolvers asked so far.
    asked: usize,
    socket: OwnedFd,
    deadline: Instant,
}

/// Whose descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolverToken {
    /// Datagrams from inside.
    Questions,
    /// Connections from inside.
    Connections,
    /// An answer from outside.
    Answer(u64),
    /// The inner or outer side of a connection.
    Connection(u64),
}

impl Resolver {
    /// A name server on these sockets that asks `upstreams`, in order.
    pub(crate) fn new(sockets: ResolverSockets, upstreams: Vec<IpAddr>) -> Self {
        Self {
            sockets,
            upstreams,
            pending: BTreeMap::new(),
            connections: BTreeMap::new(),
            next: 0,
        }
    }

    /// The descriptors to wait for and what for.
    pub(crate) fn interests<'a>(
        &'a self,
        add: &mut dyn FnMut(ResolverToken, BorrowedFd<'a>, PollFlags),
    ) {
        add(
            ResolverToken::Questions,
            self.sockets.udp.as_fd(),
            PollFlags::IN,
        );
        add(
            ResolverToken::Connections,
            self.sockets.tcp.as_fd(),
            PollFlags::IN,
        );
        for (&number, pending) in &self.pending {
            add(
                ResolverToken::Answer(number),
                pending.socket.as_fd(),
                PollFlags::IN,
            );
        }
        for (&number, connection) in &self.connections {
            let (descriptor, flags) = connection.interest();
            add(ResolverToken::Connection(number), descriptor, flags);
        }
    }

    /// Serves a descriptor that is ready.
    pub(crate) fn serve(&mut self, token: ResolverToken, names: Names<'_>) {
        match token {
            ResolverToken::Questions => self.take_questions(names),
            ResolverToken::Connections => self.take_connections(),
            ResolverToken::Answer(number) => self.take_answer(number),
            ResolverToken::Connection(number) => {
                let upstream = self.upstreams.first().copied();
                let done = match self.connections.get_mut(&number) {
                    Some(connection) => connection.advance(upstream, names).is_err(),
                    None => false,
                };
                if done {
                    self.connections.remove(&number);
                }
            }
        }
    }

    /// When [`Resolver::expire`] should be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let pending = self.pending.values().map(|pending| pending.deadline);
        let connections = self
            .connections
            .values()
            .map(|connection| connection.deadline);
        pending.chain(connections).min()
    }

    /// Asks the next resolver where one was silent, and gives up where there is no next.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.connections
            .retain(|_, connection| connection.deadline > now);
        let late = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= now);
        let late: Vec<u64> = late.map(|(number, _)| *number).collect();
        for number in late {
            if let Some(pending) = self.pending.remove(&number) {
                self.forward(pending.message, pending.client, pending.asked);
            }
        }
    }

    fn take_questions(&mut self, names: Names<'_>) {
        let mut buffer = vec![0; DATAGRAM];
        for _ in 0..BATCH {
            let received = recvfrom(&self.sockets.udp, &mut buffer[..], RecvFlags::DONTWAIT);
            let Ok((_, length, Some(client))) = received else {
                return;
            };
            let Ok(client) = SocketAddr::try_from(client) else {
                continue;
            };
            let message = &buffer[..length];
            match own_answer(message, names) {
                Some(reply) => self.reply(&reply, client),
                None => self.forward(message.to_vec(), client, 0),
            }
        }
    }

    /// Asks the resolvers from number `asked` on until one takes the question.
    fn forward(&mut self, message: Vec<u8>, client: SocketAddr, asked: usize) {
        for (index, upstream) in self.upstreams.iter().enumerate().skip(asked) {
            let Ok(socket) = outside(*upstream, SocketType::DGRAM) else {
                continue;
            };
            if send(&socket, &message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_err() {
                continue;
            }
            if self.pending.len() >= PENDING_LIMIT {
                self.pending.pop_first();
            }
            self.next += 1;
            let pending = Pending {
                client,
                message,
                asked: index + 1,
                socket,
                deadline: Instant::now() + PATIENCE,
            };
            self.pending.insert(self.next, pending);
            return;
        }
        if let Some(question) = question(&message) {
            self.reply(&failure(&message, &question), client);
        }
    }

    fn take_answer(&mut self, number: u64) {
        let mut buffer = vec![0; DATAGRAM];
        let Some(pending) = self.pending.get(&number) else {
            return;
        };
        match recv(&pending.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, length)) if is_answer(&buffer[..length], &pending.message) => {
                let client = pending.client;
                self.pending.remove(&number);
                self.reply(&buffer[..length], client);
            }
            // Something else came in by this port: the answer may still come.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody listens there.
            Err(_) => {
                if let Some(pending) = self.pending.remove(&number) {
                    self.forward(pending.message, pending.client, pending.asked);
                }
            }
        }
    }

    /// A reply that can't be delivered is lost, as on any network.
    fn reply(&self, reply: &[u8], client: SocketAddr) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = sendto(&self.sockets.udp, reply, flags, &client);
    }

    fn take_connections(&mut self) {
        while let Ok((client, _)) = acceptfrom(&self.sockets.tcp) {
            if self.connections.len() >= CONNECTION_LIMIT {
                self.connections.pop_first();
            }
            if let Ok(connection) = Connection::new(client) {
                self.next += 1;
                self.connections.insert(self.next, connection);
            }
        }
    }
}

/// The answer to a question about what is known here.
fn own_answer(message: &[u8], names: Names<'_>) -> Option<Vec<u8>> {
    let asked: Question = question(message)?;
    let known = names(&asked.name, asked.wanted)?;
    Some(answer(message, &asked, &known))
}

/// A socket of the host that is connected, or about to be, to a resolver.
fn outside(upstream: IpAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if upstream.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, kind, flags, None)?;
    match connect(&socket, &SocketAddr::new(upstream, PORT)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}
