//! Owners for processes that have one id alone.
//!
//! In a user namespace with a single id, nothing can be given to anybody and nobody can become anybody else. So that package
//! managers work all the same, and layers have the owners that root would have given them, a filter asks about the calls in
//! question, and a process beside the container answers:
//!
//! ```text
//! container: chown("/x", 33, 33) --filter--> owners: finds /x, writes its owner down --> 0
//! ```
//!
//! - `chown` and its kin write the owner down (`kiln_store::tree::owner`): an attribute that overlay keeps for us.
//! - `stat` and its kin show what is written down. Where nothing is, the kernel answers.
//! - Identities are only said: `setuid` and its kin remember who a process claims to be, `getuid` and its kin repeat it.
//!   A number for it stands in a resource limit without a meaning, which children inherit.
//! - A link that is renamed takes its owner along, which would else stay with the layer that it comes from.
//! - What a process that claims to be somebody else creates is created for it, and belongs to whom it claims to be.
//!
//! What the container has in its memory may change while it is looked at. That can only make wrong owners in its own files: all
//! that is touched is found inside of its own root, which this process has too.
//!
//! One process for each tree of processes; it ends with the last of them.

mod create;
mod give;
mod identity;
mod look;
mod place;
mod rename;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::seccomp;
use crate::sys::notify::{self, Notification, Reply};
use crate::sys::process;
use crate::transport::receive_with_fds;
use crate::wire::{Bytes, wire_struct};
use identity::Identities;
use place::Places;

/// What is to be written down, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recording {
    /// The writable directory of the root, in the zygote's mount namespace; none when it is not known.
    pub upper: Option<CString>,
    /// What lies below it, topmost first.
    pub lowers: Vec<CString>,
    /// Who the program is to be.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}
wire_struct!(Recording {
    upper,
    lowers,
    uid,
    gid,
    groups
});

/// The calls that are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Give(give::Call),
    Look(look::Call),
    Create(create::Call),
    Identity(identity::Call),
    Rename(rename::Call),
}

/// All of them by name.
fn calls() -> impl Iterator<Item = (&'static str, Call)> {
    let gives = give::CALLS
        .iter()
        .map(|(name, call)| (*name, Call::Give(*call)));
    let looks = look::CALLS
        .iter()
        .map(|(name, call)| (*name, Call::Look(*call)));
    let creates = create::CALLS
        .iter()
        .map(|(name, call)| (*name, Call::Create(*call)));
    let identities = identity::CALLS
        .iter()
        .map(|(name, call)| (*name, Call::Identity(*call)));
    let renames = rename::CALLS
        .iter()
        .map(|(name, call)| (*name, Call::Rename(*call)));
    gives
        .chain(looks)
        .chain(creates)
        .chain(identities)
        .chain(renames)
}

/// The filter that asks about them.
pub(crate) fn program() -> Bytes {
    let flags = |call| match call {
        // Only if a file may come into being.
        Call::Create(call) => create::flags_of(call),
        _ => None,
    };
    let calls: Vec<_> = calls().map(|(name, call)| (name, flags(call))).collect();
    seccomp::asking(&calls, libc::O_CREAT as u32)
}

/// Starts the process that answers, as nobody's child. Returns the socket that wants the filter's descriptor.
pub(crate) fn start(recording: &Recording) -> Result<OwnedFd, Errno> {
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    let Some(child) = process::fork_single_threaded()? else {
        // What has no parent is nobody's to reap.
        match process::fork_single_threaded() {
            Ok(None) => {
                drop(ours);
                // Without answers the calls fail with ENOSYS; there is nobody to tell more.
                let _ = serve(recording, theirs);
                process::exit(0)
            }
            Ok(Some(_)) => process::exit(0),
            Err(_) => process::exit(1),
        }
    };
    let options = rustix::process::WaitOptions::empty();
    let status = loop {
        match rustix::process::waitpid(Some(child), options) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    match status.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(ours),
        _ => Err(Errno::AGAIN),
    }
}

fn serve(recording: &Recording, socket: OwnedFd) -> Result<(), Errno> {
    rustix::thread::set_name(c"kiln-owners")?;
    // The engine's end must not be what keeps this process.
    match process::close_all_but([socket.as_fd()]) {
        Ok(()) | Err(Errno::NOSYS) => {}
        Err(errno) => return Err(errno),
    }
    let mut byte = [0];
    let (_, mut fds) = receive_with_fds(socket.as_fd(), &mut byte)?;
    drop(socket);
    let listener = fds.pop().ok_or(Errno::BADF)?;
    Owners::new(recording, listener)?.answer_all()
}

/// The process that answers.
struct Owners {
    listener: OwnedFd,
    places: Places,
    identities: Identities,
    calls: HashMap<u32, Call>,
}

impl Owners {
    fn new(recording: &Recording, listener: OwnedFd) -> Result<Self, Errno> {
        let names: HashMap<&str, Call> = calls().collect();
        let numbered = |(number, name): &(u32, &str)| Some((*number, *names.get(name)?));
        Ok(Self {
            listener,
            places: Places::new(recording)?,
            identities: Identities::new(recording),
            calls: seccomp::names().iter().filter_map(numbered).collect(),
        })
    }

    /// Answers until nobody is left to ask.
    fn answer_all(mut self) -> Result<(), Errno> {
        loop {
            let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            let events = fds[0].revents();
            if !events.contains(PollFlags::IN) {
                return Ok(());
            }
            match notify::receive(self.listener.as_fd()) {
                Ok(notification) => {
                    let reply = self.answer(&notification);
                    // Whoever asked may have been killed.
                    let _ = notify::reply(self.listener.as_fd(), notification.id, reply);
                }
                Err(Errno::NOENT | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn answer(&mut self, asked: &Notification) -> Reply {
        let reply = match self.calls.get(&asked.number) {
            Some(Call::Give(call)) => self.give(*call, asked),
            Some(Call::Look(call)) => self.look(*call, asked),
            Some(Call::Create(call)) => self.create(*call, asked),
            Some(Call::Identity(call)) => self.identity(*call, asked),
            Some(Call::Rename(call)) => self.rename(*call, asked),
            None => Ok(Reply::Go),
        };
        reply.unwrap_or_else(Reply::Fail)
    }

    /// Whether what was learned of the caller was really its own.
    fn still_asks(&self, asked: &Notification) -> Result<(), Errno> {
        match notify::is_waiting(self.listener.as_fd(), asked.id) {
            true => Ok(()),
            false => Err(Errno::INTR),
        }
    }
}
