//! Published ports: sockets of the host whose traffic the monitor carries into the container.
//!
//! The monitor binds while it is still in the host's network namespace, before the container starts, so a port that is taken
//! fails in the foreground. Then it moves into the container's namespace for good: a socket stays where it was made, so the
//! listeners go on belonging to the host while every new connection begins inside. Nothing is left behind when the monitor ends.

mod direction;
mod listen;
mod tcp;
mod udp;

pub(crate) use listen::{Bound, bind_all};

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::PollFlags;
use tcp::TcpProxy;
use udp::UdpProxy;

use super::ports::{BoundPort, Protocol};

/// Bytes moved at once; the buffer is shared by all connections.
const CHUNK: usize = 64 * 1024;

/// All published ports of a container.
#[derive(Debug)]
pub(crate) struct Proxies {
    proxies: Vec<Proxy>,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
enum Proxy {
    Tcp(TcpProxy),
    Udp(UdpProxy),
}

/// What a descriptor in the poll set belongs to, as [`Proxies::interests`] numbered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyToken {
    proxy: usize,
    part: Part,
}

/// The part of a proxy that a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Listener,
    /// Client side of a connection, by its number.
    Client(u64),
    /// Container side of a connection, by its number.
    Backend(u64),
}

impl Proxies {
    /// Proxies behind sockets that are bound already.
    pub(crate) fn new(bound: Vec<Bound>) -> Self {
        let buffer = if bound.is_empty() {
            Box::default()
        } else {
            vec![0; CHUNK].into_boxed_slice()
        };
        let proxies = bound
            .into_iter()
            .map(|bound| match bound.port.container.protocol {
                Protocol::Tcp => Proxy::Tcp(TcpProxy::new(bound)),
                Protocol::Udp => Proxy::Udp(UdpProxy::new(bound)),
            })
            .collect();
        Self { proxies, buffer }
    }

    /// Whether there is nothing to carry.
    pub(crate) fn is_empty(&self) -> bool {
        self.proxies.is_empty()
    }

    /// Where the ports listen.
    pub(crate) fn ports(&self) -> Vec<BoundPort> {
        self.proxies
            .iter()
            .map(|proxy| match proxy {
                Proxy::Tcp(proxy) => proxy.port(),
                Proxy::Udp(proxy) => proxy.port(),
            })
            .collect()
    }

    /// The descriptors to wait for and what for.
    pub(crate) fn interests<'a>(
        &'a self,
        add: &mut dyn FnMut(ProxyToken, BorrowedFd<'a>, PollFlags),
    ) {
        for (index, proxy) in self.proxies.iter().enumerate() {
            let mut add =
                |part, descriptor, flags| add(ProxyToken { proxy: index, part }, descriptor, flags);
            match proxy {
                Proxy::Tcp(proxy) => proxy.interests(&mut add),
                Proxy::Udp(proxy) => proxy.interests(&mut add),
            }
        }
    }

    /// Serves a descriptor that is ready.
    pub(crate) fn serve(&mut self, token: ProxyToken, ready: PollFlags) {
        match &mut self.proxies[token.proxy] {
            Proxy::Tcp(proxy) => proxy.serve(token.part, ready, &mut self.buffer),
            Proxy::Udp(proxy) => proxy.serve(token.part, &mut self.buffer),
        }
    }

    /// When [`Proxies::expire`] should be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.proxies
            .iter()
            .filter_map(|proxy| match proxy {
                Proxy::Udp(proxy) => proxy.deadline(),
                Proxy::Tcp(_) => None,
            })
            .min()
    }

    /// Forgets datagram peers that were silent for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        for proxy in &mut self.proxies {
            if let Proxy::Udp(proxy) = proxy {
                proxy.expire(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};

    use rustix::event::{PollFd, Timespec, poll};

    use super::*;
    use crate::container::ports::PortMapping;

    /// Proxies to a port of this machine, served by a thread until the result is dropped.
    struct Running {
        stop: Option<std::io::PipeWriter>,
        thread: Option<std::thread::JoinHandle<()>>,
        ports: Vec<BoundPort>,
    }

    impl Running {
        fn to(port: u16, protocol: &str) -> Self {
            let bound =
                bind_all(&PortMapping::parse(&format!("127.0.0.1::{port}/{protocol}")).unwrap())
                    .unwrap();
            let proxies = Proxies::new(bound);
            let ports = proxies.ports();
            let (stopped, stop) = std::io::pipe().unwrap();
            let thread = std::thread::spawn(move || serve(proxies, &stopped));
            Self {
                stop: Some(stop),
                thread: Some(thread),
                ports,
            }
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.stop = None;
            self.thread.take().unwrap().join().unwrap();
        }
    }

    fn serve(mut proxies: Proxies, stopped: &std::io::PipeReader) {
        loop {
            let mut tokens = Vec::new();
            let mut descriptors = vec![PollFd::new(stopped, PollFlags::IN)];
            proxies.interests(&mut |token, descriptor, flags| {
                tokens.push(token);
                descriptors.push(PollFd::from_borrowed_fd(descriptor, flags));
            });
            poll(&mut descriptors, None::<&Timespec>).unwrap();
            let ready: Vec<_> = descriptors.iter().map(PollFd::revents).collect();
            if !ready[0].is_empty() {
                return;
            }
            for (token, ready) in tokens
                .into_iter()
                .zip(&ready[1..])
                .filter(|(_, ready)| !ready.is_empty())
            {
                proxies.serve(token, *ready);
            }
            proxies.expire(Instant::now());
        }
    }

    #[test]
    fn datagrams_find_their_way_back() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let proxy = Running::to(server.local_addr().unwrap().port(), "udp");
        let clients: Vec<_> = (0..3)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        for (number, client) in clients.iter().enumerate() {
            client
                .send_to(format!("from {number}").as_bytes(), proxy.ports[0].host)
                .unwrap();
        }
        let mut buffer = [0; 100];
        for _ in &clients {
            let (count, from) = server.recv_from(&mut buffer).unwrap();
            server
                .send_to(&[b"re: ", &buffer[..count]].concat(), from)
                .unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            let (count, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(
                (&buffer[..count], from),
                (format!("re: from {number}").as_bytes(), proxy.ports[0].host)
            );
        }
    }

    #[test]
    fn each_side_can_finish_first() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Running::to(server.local_addr().unwrap().port(), "tcp");
        let mut text = String::new();

        let mut client = TcpStream::connect(proxy.ports[0].host).unwrap();
        let (mut inside, _) = server.accept().unwrap();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        inside.read_to_string(&mut text).unwrap();
        inside.write_all(b" answer").unwrap();
        drop(inside);
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "question answer");

        let mut client = TcpStream::connect(proxy.ports[0].host).unwrap();
        let (mut inside, _) = server.accept().unwrap();
        inside.write_all(b"greeting").unwrap();
        inside.shutdown(Shutdown::Write).unwrap();
        text.clear();
        client.read_to_string(&mut text).unwrap();
        client.write_all(b" reply").unwrap();
        drop(client);
        inside.read_to_string(&mut text).unwrap();
        assert_eq!(text, "greeting reply");
    }

    #[test]
    fn a_connection_that_nobody_accepts_is_closed() {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = unused.local_addr().unwrap().port();
        drop(unused);
        let proxy = Running::to(port, "tcp");
        let mut client = TcpStream::connect(proxy.ports[0].host).unwrap();
        let mut bytes = Vec::new();
        // Closed or reset, but not held.
        let _ = client.read_to_end(&mut bytes);
        assert!(bytes.is_empty());
    }
}
