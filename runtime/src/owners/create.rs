//! Calls that make files, where these are to belong to somebody else than root: to whom a process claims to be, or to the group of
//! a directory that gives its group on.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fstat, mkdirat, mknodat, openat, statat, symlinkat,
};
use rustix::io::Errno;

use super::Owners;
use super::give::NEW;
use super::place::FOUND;
use crate::sys::notify::{self, Notification, Reply};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Openat,
    Creat,
    Mkdir,
    Mkdirat,
    Symlink,
    Symlinkat,
    Mknod,
    Mknodat,
}

pub(super) const CALLS: &[(&str, Call)] = &[
    ("open", Call::Open),
    ("openat", Call::Openat),
    ("creat", Call::Creat),
    ("mkdir", Call::Mkdir),
    ("mkdirat", Call::Mkdirat),
    ("symlink", Call::Symlink),
    ("symlinkat", Call::Symlinkat),
    ("mknod", Call::Mknod),
    ("mknodat", Call::Mknodat),
];

/// The argument whose flags say whether a file may come into being; none where it always does.
pub(super) fn flags_of(call: Call) -> Option<u32> {
    match call {
        Call::Open => Some(1),
        Call::Openat => Some(2),
        _ => None,
    }
}

/// A set-group-id directory gives its group to what is made in it.
const SET_GROUP_ID: u32 = 0o2000;

/// A new name: the directory, and what it is called there.
struct Name {
    directory: OwnedFd,
    name: Vec<u8>,
    uid: u32,
    gid: u32,
}

impl Owners {
    pub(super) fn create(&mut self, call: Call, asked: &Notification) -> Result<Reply, Errno> {
        let identity = self.identities.of(asked.pid);
        let (uid, gid) = (identity.user.file, identity.group.file);
        // Whatever is unusual is the kernel's; it then belongs to root.
        match self.created(call, asked, (uid, gid)) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) | Err(_) => Ok(Reply::Go),
        }
    }

    fn created(
        &mut self,
        call: Call,
        asked: &Notification,
        owner: (u32, u32),
    ) -> Result<Option<Reply>, Errno> {
        let [first, second, third, fourth, _, _] = asked.arguments;
        let here = libc::AT_FDCWD as u64;
        let (directory, path) = match call {
            Call::Open | Call::Creat | Call::Mkdir | Call::Mknod => (here, first),
            Call::Openat | Call::Mkdirat | Call::Mknodat => (first, second),
            Call::Symlink => (here, second),
            Call::Symlinkat => (second, third),
        };
        let Some(name) = self.new_name(asked.pid, directory, path, owner)? else {
            return Ok(None);
        };
        let mode = |mode: u64| -> Result<Mode, Errno> {
            let mask = self.places.mask(asked.pid)?;
            Ok(Mode::from_raw_mode(mode as u32 & 0o7777 & !mask))
        };
        match call {
            Call::Open => self.open(asked, &name, second, mode(third)?),
            Call::Openat => self.open(asked, &name, third, mode(fourth)?),
            Call::Creat => {
                let flags = libc::O_WRONLY | libc::O_TRUNC | libc::O_CREAT;
                self.open(asked, &name, flags as u64, mode(second)?)
            }
            Call::Mkdir | Call::Mkdirat => {
                let mode = mode(if call == Call::Mkdir { second } else { third })?;
                self.still_asks(asked)?;
                mkdirat(&name.directory, name.name.as_slice(), mode)?;
                self.belongs(&name).map(Some)
            }
            Call::Symlink | Call::Symlinkat => {
                let target = self.places.string(asked.pid, first)?;
                self.still_asks(asked)?;
                symlinkat(target.as_slice(), &name.directory, name.name.as_slice())?;
                self.belongs(&name).map(Some)
            }
            Call::Mknod | Call::Mknodat => {
                let asked_mode = if call == Call::Mknod { second } else { third };
                let kind = FileType::from_raw_mode(asked_mode as u32);
                if !matches!(kind, FileType::Fifo | FileType::RegularFile) {
                    return Ok(None);
                }
                let mode = mode(asked_mode)?;
                self.still_asks(asked)?;
                mknodat(&name.directory, name.name.as_slice(), kind, mode, 0)?;
                self.belongs(&name).map(Some)
            }
        }
    }

    /// The name that a call is going to make; nothing if it is there already.
    fn new_name(
        &mut self,
        pid: u32,
        directory: u64,
        path: u64,
        (uid, gid): (u32, u32),
    ) -> Result<Option<Name>, Errno> {
        let mut path = self.places.string(pid, path)?;
        while path.len() > 1 && path.last() == Some(&b'/') {
            path.pop();
        }
        let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(0) => (b"/".to_vec(), path[1..].to_vec()),
            Some(at) => (path[..at].to_vec(), path[at + 1..].to_vec()),
            None => (b".".to_vec(), path),
        };
        if matches!(name.as_slice(), b"" | b"." | b"..") {
            return Ok(None);
        }
        let directory = self
            .places
            .find(pid, directory, &above, OFlags::DIRECTORY)?;
        let gid = match fstat(&directory)?.st_mode & SET_GROUP_ID {
            0 => gid,
            _ => self.places.record(&directory)?.unwrap_or_default().gid,
        };
        if (uid, gid) == (0, 0) {
            // As it comes from the kernel.
            return Ok(None);
        }
        match statat(&directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            _ => return Ok(None),
        }
        Ok(Some(Name {
            directory,
            name,
            uid,
            gid,
        }))
    }

    /// Makes a file, and gives it to the caller as it asked for it.
    fn open(
        &self,
        asked: &Notification,
        name: &Name,
        flags: u64,
        mode: Mode,
    ) -> Result<Option<Reply>, Errno> {
        let flags = OFlags::from_bits_retain(flags as u32);
        if flags.contains(OFlags::DIRECTORY) {
            return Ok(None);
        }
        self.still_asks(asked)?;
        let how = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&name.directory, name.name.as_slice(), how, mode)?;
        self.belongs(name)?;
        let close_on_exec = flags.contains(OFlags::CLOEXEC);
        let given = notify::give(self.listener.as_fd(), asked.id, file.as_fd(), close_on_exec);
        match given {
            Ok(()) => Ok(Some(Reply::Done)),
            // Full, or gone: the file is there now, as it would be.
            Err(errno) => Ok(Some(Reply::Fail(errno))),
        }
    }

    fn belongs(&self, name: &Name) -> Result<Reply, Errno> {
        let found = openat(
            &name.directory,
            name.name.as_slice(),
            FOUND | NEW,
            Mode::empty(),
        )?;
        self.own(&found, name.uid, name.gid)?;
        Ok(Reply::Value(0))
    }
}
