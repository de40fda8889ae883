//! What the engine and the zygote say to each other.
//!
//! Requests are frames on one stream socket. Each request brings a packet socket of its own as its first descriptor, on
//! which everything about it is answered: no reader thread, and a waiter wakes up directly.

use crate::wire::{Bytes, wire_enum, wire_struct};

/// The name under which our own binary is started as a zygote.
pub(crate) const NAME: &std::ffi::CStr = c"kiln-zygote";

/// Frame kinds.
pub(crate) mod request {
    /// [`super::Hello`], with the store's root and the running binary; answered on the same socket by a frame.
    pub(crate) const HELLO: u32 = 1;
    /// A plan, with the answer socket and the plan's descriptors.
    pub(crate) const LAUNCH: u32 = 2;
    /// A monitor's request, with the answer socket and its descriptors.
    pub(crate) const MONITOR: u32 = 3;
    /// A preparation, for the one monitor that will be asked for: the zygote becomes that itself. Not answered.
    pub(crate) const EXPECT_MONITOR: u32 = 4;
}

/// The first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Whether this is a user namespace.
    pub user_namespace: bool,
    /// Overlay keeps its attributes as `user.overlay.*`.
    pub user_xattrs: bool,
    /// How many processors have a thermal throttle directory in sysfs.
    pub throttled_processors: u32,
    /// Whether there is one id alone.
    pub single_id: bool,
    /// Whether the engine is in a cgroup of its own.
    pub own_cgroup: bool,
}
wire_struct!(Hello {
    user_namespace,
    user_xattrs,
    throttled_processors,
    single_id,
    own_cgroup
});

/// Answers of the zygote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The zygote is ready.
    Ready,
    /// The request failed.
    Failed {
        what: Bytes,
        object: Bytes,
        errno: i32,
    },
    /// The process was cloned; its pidfd comes along.
    Started { pid: u32 },
    /// The process has ended.
    Ended {
        code: i32,
        signal: i32,
        report: Bytes,
    },
}
wire_enum!(Answer {
    1 => Ready,
    2 => Failed { what, object, errno },
    3 => Started { pid },
    4 => Ended { code, signal, report },
});
