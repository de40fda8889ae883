//! Giving a layer its own copy of a file that it shares with another layer.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, linkat, openat, renameat};
use rustix::io::Errno;

use crate::layer::{LayerError, Result};
use crate::tree::attributes::{Attributes, Time, no_excuse, set_mtime, set_mtime_of_open};
use crate::tree::copy::copy_content;
use crate::tree::metadata::Metadata;
use crate::tree::owner::{Owners, Reach};
use crate::tree::{beneath, path, xattr};

/// No entry of a layer has a name like this.
const TEMPORARY: &[u8] = b".wh..kiln-copy";

/// Replaces a file, under all its names in this tree, by a copy with another time.
pub(super) fn copy(
    root: &OwnedFd,
    owners: &Owners,
    first: &[u8],
    others: &[Vec<u8>],
    time: Time,
) -> Result<()> {
    let failed = |error: Errno| LayerError::entry("copy", first, error);
    let (directory, name) = path::split(first);
    let held = beneath::open(root, directory, beneath::DIRECTORY).map_err(failed)?;
    let source = File::from(beneath::open(&held, name, OFlags::RDONLY).map_err(failed)?);
    let meta = Metadata::from(&fstat(&source).map_err(failed)?);
    let xattrs = xattr::of_open(&source).map_err(failed)?;
    let meta = owners
        .correct(meta, Reach::Open(source.as_fd()))
        .map_err(failed)?;
    let attributes = Attributes::of(&meta, xattrs);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let made = openat(&held, TEMPORARY, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let made = File::from(made);
    copy_content(&source, &made, &meta).map_err(|error| LayerError::io("copy", first, error))?;
    let made = OwnedFd::from(made);
    attributes.set_on_open(owners, &made, first, &mut no_excuse(first))?;
    set_mtime_of_open(&made, time, first)?;
    replace(&held, first, |held| renameat(held, TEMPORARY, held, name))?;
    for other in others {
        let (directory, other_name) = path::split(other);
        let beside = beneath::open(root, directory, beneath::DIRECTORY).map_err(failed)?;
        replace(&beside, other, |beside| {
            linkat(&held, name, beside, TEMPORARY, AtFlags::empty())?;
            renameat(beside, TEMPORARY, beside, other_name)
        })?;
    }
    Ok(())
}

/// Changes a directory without changing its time.
fn replace(
    directory: &OwnedFd,
    path: &[u8],
    change: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>,
) -> Result<()> {
    let failed = |error| LayerError::entry("replace", path, error);
    let before = Metadata::from(&fstat(directory).map_err(failed)?);
    change(directory).map_err(failed)?;
    set_mtime(directory, b"", (before.mtime, before.mtime_nsec), path)
}
