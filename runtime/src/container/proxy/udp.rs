//! A published UDP port: one socket inside per peer outside, so that answers find their way.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::Part;
use super::listen::Bound;
use crate::container::ports::BoundPort;

/// How long a silent peer is remembered: docker's proxy uses the same.
const PEER_LIFETIME: Duration = Duration::from_secs(90);
/// Peers remembered per port; the one that was silent longest goes for a new one.
const MAX_PEERS: usize = 256;
/// Datagrams moved before others get their turn.
const BATCH: usize = 64;

/// One bound socket and its peers.
#[derive(Debug)]
pub(super) struct UdpProxy {
    bound: Bound,
    peers: BTreeMap<u64, Peer>,
    next: u64,
}

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    backend: OwnedFd,
    last: Instant,
}

impl UdpProxy {
    pub(super) fn new(bound: Bound) -> Self {
        Self {
            bound,
            peers: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn port(&self) -> BoundPort {
        self.bound.port
    }

    pub(super) fn interests<'a>(&'a self, add: &mut dyn FnMut(Part, BorrowedFd<'a>, PollFlags)) {
        add(Part::Listener, self.bound.socket.as_fd(), PollFlags::IN);
        for (&number, peer) in &self.peers {
            add(Part::Backend(number), peer.backend.as_fd(), PollFlags::IN);
        }
    }

    pub(super) fn serve(&mut self, part: Part, buffer: &mut [u8]) {
        match part {
            Part::Backend(number) => self.answer(number, buffer),
            Part::Listener | Part::Client(_) => self.forward(buffer),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.peers
            .values()
            .map(|peer| peer.last + PEER_LIFETIME)
            .min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.peers.retain(|_, peer| peer.last + PEER_LIFETIME > now);
    }

    /// Carries datagrams from outside in.
    fn forward(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Ok((_, count, Some(from))) =
                net::recvfrom(&self.bound.socket, &mut *buffer, RecvFlags::DONTWAIT)
            else {
                return;
            };
            let Ok(from) = SocketAddr::try_from(from) else {
                continue;
            };
            let Ok(peer) = self.peer(from) else { continue };
            peer.last = Instant::now();
            // A datagram that can't be delivered is lost, as on any network.
            let _ = net::send(
                &peer.backend,
                &buffer[..count],
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            );
        }
    }

    /// Carries datagrams from inside out.
    fn answer(&mut self, number: u64, buffer: &mut [u8]) {
        let Some(peer) = self.peers.get_mut(&number) else {
            return;
        };
        for _ in 0..BATCH {
            match net::recv(&peer.backend, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) => {
                    peer.last = Instant::now();
                    let _ = net::sendto(
                        &self.bound.socket,
                        &buffer[..count],
                        SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                        &peer.address,
                    );
                }
                // Nobody listens inside yet; later datagrams may find somebody.
                Err(Errno::CONNREFUSED) => {}
                Err(_) => return,
            }
        }
    }

    fn peer(&mut self, address: SocketAddr) -> Result<&mut Peer, Errno> {
        let known = self
            .peers
            .iter()
            .find(|(_, peer)| peer.address == address)
            .map(|(number, _)| *number);
        let number = match known {
            Some(number) => number,
            None => {
                if self.peers.len() >= MAX_PEERS
                    && let Some(oldest) = self
                        .peers
                        .iter()
                        .min_by_key(|(_, peer)| peer.last)
                        .map(|(number, _)| *number)
                {
                    self.peers.remove(&oldest);
                }
                let inside = self.bound.backend.unwrap_or(Ipv4Addr::LOCALHOST.into());
                let family = if inside.is_ipv4() {
                    AddressFamily::INET
                } else {
                    AddressFamily::INET6
                };
                let backend = net::socket_with(
                    family,
                    SocketType::DGRAM,
                    SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                    None,
                )?;
                net::connect(
                    &backend,
                    &SocketAddr::new(inside, self.bound.port.container.number),
                )?;
                self.next += 1;
                self.peers.insert(
                    self.next,
                    Peer {
                        address,
                        backend,
                        last: Instant::now(),
                    },
                );
                self.next
            }
        };
        self.peers.get_mut(&number).ok_or(Errno::NOENT)
    }
}
