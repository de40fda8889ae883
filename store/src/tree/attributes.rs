//! Owner, mode, extended attributes and time of an entry, and setting them through descriptors.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fchmod, fchown,
    fstat, futimens, statat, utimensat,
};
use rustix::io::Errno;

use super::metadata::{Kind, Metadata};
use super::owner::{self, Owners, Reach};
use super::path;
use super::xattr::{self, Xattrs};
use crate::layer::{LayerError, Result};

/// Seconds since 1970 and nanoseconds.
pub type Time = (i64, u32);

/// What an entry has beside its name and content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits with setuid, setgid and sticky; links have none of their own.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The modification time; the present when none is given.
    pub mtime: Option<Time>,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Attributes {
    /// Those of an entry that was looked up.
    #[must_use]
    pub fn of(meta: &Metadata, xattrs: Xattrs) -> Self {
        Self {
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: Some((meta.mtime, meta.mtime_nsec)),
            xattrs,
        }
    }

    /// Takes out the access control list that a directory gives to what is made in it. It is set once everything in the directory is made,
    /// because entries have lists of their own, or none.
    pub(crate) fn take_default_acl(&mut self) -> Option<Vec<u8>> {
        let at = self
            .xattrs
            .iter()
            .position(|(name, _)| name == xattr::DEFAULT_ACL)?;
        Some(self.xattrs.remove(at).1)
    }

    /// Sets all but the time on an open file or directory that was just made. An extended attribute that can't be set
    /// goes to `refused`, which decides.
    pub(crate) fn set_on_open(
        &self,
        owners: &Owners,
        file: &OwnedFd,
        name: &[u8],
        refused: &mut dyn FnMut(&[u8], Errno) -> Result<()>,
    ) -> Result<()> {
        let found = || {
            let stat = fstat(file).map_err(|error| LayerError::entry("examine", name, error))?;
            Ok::<_, LayerError>(Metadata::from(&stat))
        };
        let mut mode = self.mode;
        if let Owners::Recorded(_) = owners {
            let kind = found()?.kind;
            mode = owners.mode_on_disk(kind, mode);
            owner::write(file, kind, self.uid, self.gid, self.mode)
                .map_err(|error| LayerError::entry("record the owner of", name, error))?;
        } else {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            if let Err(error) = fchown(file, Some(uid), Some(gid)) {
                self.excuse_owner(&found()?, name, error)?;
            }
        }
        for (attribute, value) in &self.xattrs {
            if owner::is_ours(attribute) {
                continue;
            }
            let set = match xattr::set_on_open(file, attribute, value) {
                Err(Errno::PERM)
                    if attribute == xattr::CAPABILITY && matches!(owners, Owners::Recorded(_)) =>
                {
                    owner::write_capability(file, value)
                }
                set => set,
            };
            if let Err(error) = set {
                refused(attribute, error)?;
            }
        }
        // After the owner, because changing that clears setuid and setgid.
        fchmod(file, Mode::from_raw_mode(mode))
            .map_err(|error| LayerError::entry("set the mode of", name, error))
    }

    /// Sets all but the time on a name that can't be opened: a link, device or pipe.
    pub(crate) fn set_on_name(
        &self,
        owners: &Owners,
        directory: &OwnedFd,
        name: &[u8],
        kind: Kind,
        path: &[u8],
        refused: &mut dyn FnMut(&[u8], Errno) -> Result<()>,
    ) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if let Owners::Recorded(_) = owners {
            // What has no record is root's, and nobody's record comes with a new inode.
            if (self.uid, self.gid) != (0, 0) {
                owners
                    .note(Reach::Name(directory.as_fd(), name), self.uid, self.gid)
                    .map_err(|error| LayerError::entry("record the owner of", path, error))?;
            }
        } else if let Err(error) = chownat(
            directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| LayerError::entry("examine", path, error))?;
            self.excuse_owner(&Metadata::from(&stat), path, error)?;
        }
        for (attribute, value) in &self.xattrs {
            if let Err(error) = xattr::set_on_name(directory, name, attribute, value) {
                refused(attribute, error)?;
            }
        }
        if kind == Kind::Symlink {
            return Ok(());
        }
        // The name was made by us a moment ago and is no link, so following is no matter.
        chmodat(
            directory,
            name,
            Mode::from_raw_mode(self.mode),
            AtFlags::empty(),
        )
        .map_err(|error| LayerError::entry("set the mode of", path, error))
    }

    /// An owner that can't be set is no failure when it is right already.
    fn excuse_owner(&self, found: &Metadata, name: &[u8], error: Errno) -> Result<()> {
        if (found.uid, found.gid) == (self.uid, self.gid) {
            return Ok(());
        }
        match error {
            Errno::INVAL => Err(LayerError::UnmappedOwner {
                path: path::display(name),
                uid: self.uid,
                gid: self.gid,
            }),
            _ => Err(LayerError::entry("set the owner of", name, error)),
        }
    }
}

/// An extended attribute that can't be set is an error.
pub(crate) fn no_excuse(path: &[u8]) -> impl FnMut(&[u8], Errno) -> Result<()> {
    move |_, error| {
        Err(LayerError::entry(
            "set an extended attribute of",
            path,
            error,
        ))
    }
}

fn timestamps((seconds, nanoseconds): Time) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        },
    }
}

/// Sets the modification time of an open file or directory.
pub(crate) fn set_mtime_of_open(file: impl AsFd, time: Time, path: &[u8]) -> Result<()> {
    futimens(file, &timestamps(time))
        .map_err(|error| LayerError::entry("set the time of", path, error))
}

/// Sets the modification time of a name, of the directory itself when the name is empty. A link is not followed.
pub(crate) fn set_mtime(directory: impl AsFd, name: &[u8], time: Time, path: &[u8]) -> Result<()> {
    let name = if name.is_empty() {
        b".".as_slice()
    } else {
        name
    };
    utimensat(
        directory,
        name,
        &timestamps(time),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(|error| LayerError::entry("set the time of", path, error))
}
