//! Talking to a monitor: requests and replies on a `SOCK_SEQPACKET` socket `containers/<id>/control` (mode 0600).
//!
//! One message is one JSON value; descriptors travel beside it by `SCM_RIGHTS`. A connection carries one request and then its
//! replies, so replies need no numbers. The descriptors of a request stand in the order in which its fields name them.

mod channel;
mod message;

pub(crate) use channel::{Channel, Listener, receive_descriptor};
pub(crate) use message::{
    AttachRequest, ExecRequest, ProcessRequest, Reply, Request, StartRequest, WireError,
    window_size,
};
