//! Frames with descriptors on a stream socket, and single messages with descriptors on a packet socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors in one message (`SCM_MAX_FD` of the kernel).
pub(crate) const DESCRIPTOR_LIMIT: usize = 253;

/// The largest frame that is believed: far above the kernel's own limit for arguments and environment of a program.
const FRAME_LIMIT: usize = 64 << 20;

const HEADER: usize = 8;

/// A message with its descriptors.
#[derive(Debug)]
pub(crate) struct Frame {
    pub kind: u32,
    pub payload: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// Sends a frame on a stream socket. The caller holds the socket for the whole call.
pub(crate) fn send_frame(
    socket: BorrowedFd<'_>,
    kind: u32,
    payload: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[4..].copy_from_slice(&kind.to_le_bytes());
    let mut sent = send_with_fds(socket, &[IoSlice::new(&header), IoSlice::new(payload)], fds)?;
    while sent < HEADER + payload.len() {
        let rest = if sent < HEADER {
            &header[sent..]
        } else {
            &payload[sent - HEADER..]
        };
        match rustix::net::send(socket, rest, SendFlags::NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Receives a frame; `None` at the end of the stream.
pub(crate) fn receive_frame(socket: BorrowedFd<'_>) -> Result<Option<Frame>, Errno> {
    let mut header = [0; HEADER];
    let (mut got, fds) = receive_with_fds(socket, &mut header)?;
    if got == 0 {
        return Ok(None);
    }
    while got < HEADER {
        got += read_some(socket, &mut header[got..])?;
    }
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let kind = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if length > FRAME_LIMIT {
        return Err(Errno::MSGSIZE);
    }
    let mut payload = vec![0; length];
    let mut got = 0;
    while got < length {
        got += read_some(socket, &mut payload[got..])?;
    }
    Ok(Some(Frame { kind, payload, fds }))
}

fn read_some(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::read(socket, &mut *buffer) {
            Ok(0) => return Err(Errno::CONNRESET),
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Sends one message.
pub(crate) fn send_with_fds(
    socket: BorrowedFd<'_>,
    data: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOBIG);
    }
    loop {
        match sendmsg(socket, data, &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Receives one message.
pub(crate) fn receive_with_fds(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        match recvmsg(
            socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((message.bytes, fds.flatten().collect()))
}

/// Borrows each.
pub(crate) fn borrow<T: AsFd>(fds: &[T]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
