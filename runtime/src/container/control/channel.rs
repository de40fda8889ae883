//! One connection to a monitor, from either side.

use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message: an exec with a big environment. The kernel's default send buffer holds it.
const MAX_MESSAGE: usize = 128 * 1024;
/// Descriptors beside one message: three streams and room to grow.
const MAX_DESCRIPTORS: usize = 8;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// Name of the socket in a container's directory.
const NAME: &str = "control";

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Two connected ends, for the command and the monitor that it starts.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, two) = net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self { socket: one }, Self { socket: two }))
    }

    /// Takes over a connected socket.
    pub(crate) fn from_socket(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Connects to the monitor of the container at `directory`. The address is short however long the path is.
    pub(crate) fn connect(directory: &Path) -> io::Result<Self> {
        let held = File::open(directory)?;
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{NAME}", held.as_raw_fd()))?;
        let socket = net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        net::connect(&socket, &address)?;
        Ok(Self { socket })
    }

    /// Sends a message with descriptors. Never raises SIGPIPE.
    pub(crate) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the message is too large: command and environment of a process may have 128 KiB",
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        loop {
            match net::sendmsg(
                &self.socket,
                &[IoSlice::new(&bytes)],
                &mut control,
                SendFlags::NOSIGNAL,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Waits for a message; `None` when the other side is gone.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match net::recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut buffer)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                other => break other?,
            }
        };
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message on the control socket was cut",
            ));
        }
        Ok(Some((
            serde_json::from_slice(&buffer[..received.bytes])?,
            descriptors,
        )))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for the one descriptor that comes with one byte: the master end of a new terminal.
pub(crate) fn receive_descriptor(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        match net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut rights) = message
            && let Some(descriptor) = rights.next()
        {
            return Ok(descriptor);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "no terminal came from the container",
    ))
}

/// The listening end in a monitor.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Binds `control` in the current directory, which is the container's. A socket that a dead monitor left is replaced.
    pub(crate) fn bind_here() -> io::Result<Self> {
        match fs::remove_file(NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        net::bind(&socket, &SocketAddrUnix::new(NAME)?)?;
        // Between the two calls the directory's mode 0700 protects it.
        fs::set_permissions(NAME, fs::Permissions::from_mode(0o600))?;
        net::listen(&socket, BACKLOG)?;
        Ok(Self { socket })
    }

    /// Takes a connection, if one waits.
    pub(crate) fn accept(&self) -> io::Result<Option<Channel>> {
        match net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
            Ok(socket) => Ok(Some(Channel { socket })),
            Err(
                rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED,
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn messages_keep_their_borders_and_bring_descriptors() {
        let (here, there) = Channel::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        here.send(&"first", &[writer.as_fd()]).unwrap();
        here.send(&vec![1, 2, 3], &[]).unwrap();
        drop(writer);
        let (text, descriptors) = there.receive::<String>().unwrap().unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("first", 1));
        for descriptor in descriptors {
            File::from(descriptor).write_all(b"through").unwrap();
        }
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert_eq!(there.receive::<Vec<u32>>().unwrap().unwrap().0, [1, 2, 3]);
        drop(here);
        assert!(there.receive::<String>().unwrap().is_none());
        assert_eq!(
            there.send(&"nobody", &[]).unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[test]
    fn a_message_that_is_too_large_is_refused() {
        let (here, _there) = Channel::pair().unwrap();
        let error = here.send(&"x".repeat(MAX_MESSAGE), &[]).unwrap_err();
        assert!(error.to_string().contains("128 KiB"));
        let (here, there) = Channel::pair().unwrap();
        here.send(&"x".repeat(MAX_MESSAGE - 2), &[]).unwrap();
        assert_eq!(
            there.receive::<String>().unwrap().unwrap().0.len(),
            MAX_MESSAGE - 2
        );
    }
}
