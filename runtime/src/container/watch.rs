//! Waiting for a change of a container that nobody tells us about: its directory is watched, where its record is replaced, its
//! monitor's socket appears and its lock is closed, and which goes with it.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::error::{Context, Result};

/// Room for some events; how many there were does not matter.
const EVENTS: usize = 1024;

/// Sees what happens to a container from its making on.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
}

impl Watch {
    /// Watches a container's directory; `None` when it is gone.
    pub fn of(directory: &Path) -> Result<Option<Self>> {
        let describe = || format!("watching {}", directory.display());
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).context(describe)?;
        let wanted = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&inotify, directory, wanted) {
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).context(describe),
            Ok(_) => Ok(Some(Self { inotify })),
        }
    }

    /// Waits until something has happened since the last time, at most as long as `limit`.
    pub fn wait(&self, limit: Option<Duration>) -> Result<()> {
        let describe = || "waiting for a change of a container".to_owned();
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        let mut descriptors = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut descriptors, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context(describe),
        }
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno).context(describe),
            }
        }
    }
}
