//! The process that watches over one container.

use std::os::fd::OwnedFd;

use crate::Parent;

/// Runs a monitor until its container has ended.
pub fn run(request: Vec<u8>, fds: Vec<OwnedFd>, parent: Parent) -> i32 {
    drop((request, fds, parent));
    0
}
