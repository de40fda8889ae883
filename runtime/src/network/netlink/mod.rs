//! Netlink: the messages by which the kernel is told of devices, addresses and packet rules.
//!
//! The kernel handles a request within the call that sends it, so all answers lie ready when that call returns. A socket
//! belongs to the network namespace in which it was opened, whatever its process does later.

mod message;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto,
    socket_with, sockopt,
};

pub(crate) use message::{Attributes, Message, native_u16, native_u32};

/// `NLM_F_REQUEST`
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`
pub(crate) const ACK: u16 = 4;
/// `NLM_F_EXCL`
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`
pub(crate) const APPEND: u16 = 0x800;
/// `NLM_F_DUMP`
pub(crate) const DUMP: u16 = 0x300;

/// `NLMSG_ERROR`: an error, or with number 0 an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
const DONE: u16 = 3;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// What the kernel puts into one answer at most (`NLMSG_GOODSIZE` of dumps is 32 KiB).
const ANSWER: usize = 64 * 1024;
/// A whole set of rules goes out in one piece; the default buffer holds some 200 KiB.
const BATCH_BUFFER: usize = 8 << 20;

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
}

/// A message from the kernel without its header.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What it is.
    pub kind: u16,
    /// The rest.
    pub payload: Vec<u8>,
}

impl Socket {
    /// For devices, addresses and routes of this thread's network namespace.
    pub(crate) fn route() -> Result<Self, Errno> {
        Self::open(None, 0)
    }

    /// For packet rules of this thread's network namespace. `groups` are the notices to be told of, one bit each.
    pub(crate) fn netfilter(groups: u32) -> Result<Self, Errno> {
        Self::open(Some(rustix::net::netlink::NETFILTER), groups)
    }

    fn open(protocol: Option<Protocol>, groups: u32) -> Result<Self, Errno> {
        let descriptor = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        bind(&descriptor, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self {
            descriptor,
            sequence: 0,
        })
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn request(&mut self, mut message: Message) -> Result<(), Errno> {
        message.add_flags(REQUEST | ACK);
        self.sequence += 1;
        self.send(&message.finish(self.sequence))?;
        let sequence = self.sequence;
        let mut result = Err(Errno::PROTO);
        self.receive(|answer_sequence, answer| {
            if answer_sequence == sequence && answer.kind == ERROR {
                result = error_of(&answer);
            }
        })?;
        result
    }

    /// Asks for a list, or with a message that names one object for that one.
    pub(crate) fn ask(&mut self, mut message: Message) -> Result<Vec<Answer>, Errno> {
        message.add_flags(REQUEST);
        self.sequence += 1;
        self.send(&message.finish(self.sequence))?;
        let sequence = self.sequence;
        let mut answers = Vec::new();
        let mut failure = Ok(());
        self.receive(|answer_sequence, answer| {
            if answer_sequence != sequence {
                return;
            }
            match answer.kind {
                ERROR => failure = error_of(&answer),
                DONE => {}
                _ => answers.push(answer),
            }
        })?;
        failure.map(|()| answers)
    }

    /// Sends messages that only take effect together. An error says which message was refused.
    pub(crate) fn transact(&mut self, messages: Vec<Message>) -> Result<(), (usize, Errno)> {
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        for mut message in messages {
            message.add_flags(REQUEST);
            self.sequence += 1;
            bytes.extend(message.finish(self.sequence));
        }
        // May be refused without CAP_NET_ADMIN; what does not fit then fails to be sent.
        let _ = sockopt::set_socket_send_buffer_size_force(&self.descriptor, BATCH_BUFFER);
        self.send(&bytes).map_err(|errno| (0, errno))?;
        let mut result = Ok(());
        self.receive(|sequence, answer| {
            if answer.kind == ERROR
                && sequence >= first
                && result.is_ok()
                && let Err(errno) = error_of(&answer)
            {
                result = Err(((sequence - first) as usize, errno));
            }
        })
        .map_err(|errno| (0, errno))?;
        result
    }

    /// The notices that have come since the last look. Some may have been lost, which is as good as one.
    pub(crate) fn notices(&self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let lost = self.receive(|_, answer| answers.push(answer)).is_err();
        if lost {
            answers.push(Answer {
                kind: ERROR,
                payload: Vec::new(),
            });
        }
        answers
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.descriptor, bytes, SendFlags::empty(), &kernel).map(drop)
    }

    /// Takes every answer that lies ready.
    fn receive(&self, mut each: impl FnMut(u32, Answer)) -> Result<(), Errno> {
        let mut buffer = vec![0; ANSWER];
        loop {
            let length = match recv(&self.descriptor, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            let mut rest = &buffer[..length];
            while rest.len() >= HEADER {
                let size = native_u32(rest) as usize;
                if size < HEADER || size > rest.len() {
                    break;
                }
                let answer = Answer {
                    kind: native_u16(&rest[4..]),
                    payload: rest[HEADER..size].to_vec(),
                };
                each(native_u32(&rest[8..]), answer);
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The number in an answer of kind `NLMSG_ERROR`.
fn error_of(answer: &Answer) -> Result<(), Errno> {
    match native_u32(&answer.payload).cast_signed() {
        0 => Ok(()),
        number => Err(Errno::from_raw_os_error(number.saturating_neg())),
    }
}
