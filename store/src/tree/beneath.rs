//! Opening a name below a held directory without ever following a symbolic link.
//!
//! `openat2` does it in one call. Where the kernel or a seccomp profile doesn't have it, the components are opened
//! one by one with `O_NOFOLLOW`, which gives the same answers.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

/// Set once `openat2` turned out to be missing, so that it is asked for only once in a process.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// The flags that open a directory for reading and as the start of other calls.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Opens `path` (normal form, empty for the directory itself) below `directory`.
///
/// No component may be a symbolic link (`ELOOP`, or `ENOTDIR` in the middle of the path), except that the last may
/// be one when `flags` hold `O_PATH`: the descriptor is then that of the link.
pub fn open(directory: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if path.is_empty() {
        return openat(directory, c".", flags, Mode::empty());
    }
    if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err(Errno::INVAL);
    }
    if !path.contains(&b'/') {
        return openat(directory, path, flags, Mode::empty());
    }
    if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(&directory, path, flags, Mode::empty(), resolve) {
            // EPERM is what older container engines' seccomp profiles give for calls they do not know.
            Err(Errno::NOSYS | Errno::PERM) => {}
            // A rename or mount elsewhere made the kernel unsure; the walk has no such doubt.
            Err(Errno::AGAIN) => return open_walking(directory, path, flags),
            result => return result,
        }
        let opened = open_walking(directory, path, flags)?;
        WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
        return Ok(opened);
    }
    open_walking(directory, path, flags)
}

/// The same component by component.
fn open_walking(directory: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut held: Option<OwnedFd> = None;
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { step } else { flags };
        let next = match &held {
            Some(above) => openat(above, part, flags, Mode::empty())?,
            None => openat(&directory, part, flags, Mode::empty())?,
        };
        held = Some(next);
    }
    held.ok_or(Errno::INVAL)
}

/// The names in a directory, without `.` and `..`, in the order of their bytes.
pub(crate) fn names(directory: impl AsFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut entries = Dir::read_from(directory)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_ways_agree() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        symlink("b", root.join("a/link")).unwrap();
        symlink("/etc", root.join("a/b/out")).unwrap();
        let directory = fs::File::open(root).unwrap();
        let quick = OFlags::RDONLY;
        for path in [
            "",
            "a",
            "a/b/file",
            "a/link/file",
            "a/b/out/passwd",
            "a/b/out",
            "a/none/x",
            "a/b/file/x",
            "a/../..",
        ] {
            let all = open(&directory, path.as_bytes(), quick).map(|_| ());
            if path.contains('/') && !path.contains("..") {
                let walked =
                    open_walking(&directory, path.as_bytes(), quick | OFlags::NOFOLLOW).map(|_| ());
                assert_eq!(all.is_ok(), walked.is_ok(), "{path}");
            }
            assert_eq!(all.is_ok(), ["", "a", "a/b/file"].contains(&path), "{path}");
        }
        assert!(open(&directory, b"a/b/out", OFlags::PATH).is_ok());
    }
}
