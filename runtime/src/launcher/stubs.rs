//! Takes mount points out of an upper directory that only the launch had put there.
//!
//! Everything goes through descriptors below the upper directory, which may hold whatever the step has made of it.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, openat, statat};
use rustix::io::Errno;

use crate::child::resolve::beneath;
use crate::report::{Record, Stub, Time};
use crate::{LaunchError, explain};

/// Removes the mount points in a report, last made first, if they are still as they were made.
pub(super) fn remove(upper: &Path, report: &[Record]) -> Result<(), LaunchError> {
    let stubs = report.iter().rev().filter_map(|record| match record {
        Record::Stub { stub } => Some(stub),
        _ => None,
    });
    let mut upper_fd = None;
    for stub in stubs {
        let failed = |errno: Errno| {
            let path = String::from_utf8_lossy(&stub.path.0).into_owned();
            explain::operation("remove the mount point", &path, errno.raw_os_error(), &[])
        };
        if upper_fd.is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            upper_fd = Some(openat(CWD, upper, flags, Mode::empty()).map_err(failed)?);
        }
        if let Some(upper) = &upper_fd {
            remove_one(upper, stub).map_err(failed)?;
        }
    }
    Ok(())
}

fn remove_one(upper: &OwnedFd, stub: &Stub) -> Result<(), Errno> {
    let path = stub.path.0.as_slice();
    let split = path.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = split.map_or((&b"."[..], path), |at| (&path[..at], &path[at + 1..]));
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = match beneath(upper.as_fd(), parent, directory) {
        // The step has put something else there: then it is the step's.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(()),
        other => other?,
    };
    let Ok(found) = statat(&parent, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(());
    };
    let kind = FileType::from_raw_mode(found.st_mode);
    let same = found.st_ino == stub.inode
        && if stub.directory {
            kind == FileType::Directory
        } else {
            kind == FileType::RegularFile && found.st_size == 0
        };
    if !same {
        return Ok(());
    }
    let status = rustix::fs::fstat(&parent)?;
    let left_alone = Time {
        seconds: status.st_mtime as i64,
        nanoseconds: status.st_mtime_nsec as u32,
    } == stub.parent_after;
    let flags = if stub.directory {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    match rustix::fs::unlinkat(&parent, name.as_c_str(), flags) {
        Ok(()) => {}
        // The step has put something inside.
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    if left_alone {
        restore_time(&parent, stub.parent_before)
    } else {
        Ok(())
    }
}

fn restore_time(directory: &OwnedFd, time: Time) -> Result<(), Errno> {
    let modified = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    let omit = Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_OMIT,
    };
    rustix::fs::futimens(
        directory,
        &Timestamps {
            last_access: omit,
            last_modification: modified,
        },
    )
}
