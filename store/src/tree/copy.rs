//! Copying the content of one open file to another: shared where the file system can, with its holes kept.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{copy_file_range, ftruncate, ioctl_ficlone, seek};
use rustix::io::Errno;

use super::metadata::Metadata;

/// Below this, two calls and a buffer are quicker than asking the file system for more.
const SMALL: u64 = 64 << 10;

/// Set once cloning turned out to be impossible, so that not every file asks again. A store and its sources lie on one or
/// two file systems, so one answer serves.
static WITHOUT_CLONE: AtomicBool = AtomicBool::new(false);

/// Copies all of `from`, whose metadata is `meta`, to the empty file `to`.
pub(crate) fn copy_content(from: &File, to: &File, meta: &Metadata) -> io::Result<()> {
    if meta.size <= SMALL {
        return copy_small(from, to);
    }
    if !WITHOUT_CLONE.load(Ordering::Relaxed) {
        match ioctl_ficlone(to, from) {
            Ok(()) => return Ok(()),
            Err(_) => WITHOUT_CLONE.store(true, Ordering::Relaxed),
        }
    }
    if meta.blocks * 512 < meta.size {
        return copy_sparse(from, to, meta.size);
    }
    copy_range(from, to, 0, meta.size)
}

fn copy_small(mut from: &File, mut to: &File) -> io::Result<()> {
    let mut buffer = [0_u8; SMALL as usize];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn copy_sparse(from: &File, to: &File, size: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        let data = match seek(from, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data.min(size),
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return copy_range(from, to, at, size),
            Err(error) => return Err(error.into()),
        };
        let hole = seek(from, rustix::fs::SeekFrom::Hole(data))?.min(size);
        copy_range(from, to, data, hole)?;
        at = hole;
    }
    Ok(ftruncate(to, size)?)
}

/// Copies the bytes from `start` to `end` to the same place.
fn copy_range(mut from: &File, mut to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut input, mut output) = (start, start);
    while input < end {
        let wanted = usize::try_from(end - input).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut input), to, Some(&mut output), wanted) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                from.seek(SeekFrom::Start(input))?;
                to.seek(SeekFrom::Start(output))?;
                io::copy(&mut from.take(end - input), &mut to)?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
