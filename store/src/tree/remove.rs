//! Removing what is in the way, through descriptors.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::{Errno, Result};

use super::beneath;

/// Removes a name with everything below it; no link is followed. An absent one is fine.
pub(crate) fn remove(directory: impl AsFd, name: &[u8]) -> Result<()> {
    match unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let held = beneath::open(&directory, name, beneath::DIRECTORY)?;
    for inner in beneath::names(&held)? {
        remove(&held, &inner)?;
    }
    unlinkat(&directory, name, AtFlags::REMOVEDIR)
}
