//! Paths inside a container, resolved against a held descriptor of its root.
//!
//! Nothing untrusted runs while a launch resolves paths, but everything in the tree may have been put there by somebody hostile: a
//! link leads where it would lead inside the container, never out of it, and never through procfs.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::report::{Stub, Time};
use crate::wire::Bytes;

/// As many links as the kernel follows in one path.
const LINK_LIMIT: u32 = 40;

/// How often a path with `..` is tried again when something was mounted or renamed anywhere on the host meanwhile: the kernel
/// then can't tell whether the path has left its root. After that it is walked, which needs no luck.
const ATTEMPTS: u32 = 64;

const NODE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory right below the root, one of those that we mount on: a link or file of that name is replaced. What is created
/// in `upper` is reported.
pub(super) fn own_directory(
    root: BorrowedFd<'_>,
    name: &CStr,
    upper: Option<&CStr>,
    report: &mut dyn FnMut(Stub) -> Result<(), Errno>,
) -> Result<OwnedFd, Errno> {
    match openat(root, name, NODE | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => {}
        // What was there before is gone for good, so this one stays.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            rustix::fs::unlinkat(root, name, AtFlags::empty())?;
            rustix::fs::mkdirat(root, name, Mode::from_raw_mode(0o755))?;
            return openat(root, name, NODE | OFlags::DIRECTORY, Mode::empty());
        }
        other => return other,
    }
    Walk::new(root)?.make(name, true, upper, report)
}

/// The file or directory at `path`, if it is there.
pub(super) fn existing(
    root: BorrowedFd<'_>,
    path: &CStr,
    directory: bool,
) -> Result<OwnedFd, Errno> {
    let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let how = OFlags::PATH | OFlags::CLOEXEC;
    let mut left = ATTEMPTS;
    let fd = loop {
        match openat2(root, path, how, Mode::empty(), flags) {
            Err(Errno::AGAIN) if left > 0 => left -= 1,
            other => break other?,
        }
    };
    check_kind(&fd, directory)?;
    Ok(fd)
}

/// A mount point has to be what is mounted on it, and may not be inside procfs.
fn check_kind(fd: &OwnedFd, directory: bool) -> Result<(), Errno> {
    let is_directory = kind(fd.as_fd())? == FileType::Directory;
    match (directory, is_directory) {
        (true, false) => return Err(Errno::NOTDIR),
        (false, true) => return Err(Errno::ISDIR),
        _ => {}
    }
    refuse_procfs(fd.as_fd())
}

fn refuse_procfs(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    /// `PROC_SUPER_MAGIC` of `linux/magic.h`.
    const PROC: i64 = 0x9fa0;
    if rustix::fs::fstatfs(fd)?.f_type as i64 == PROC {
        Err(Errno::PERM)
    } else {
        Ok(())
    }
}

fn kind(fd: BorrowedFd<'_>) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// Walks to `path` component by component and creates what is missing: directories, and an empty file at the end unless
/// `directory`. What is created in `upper` is reported.
pub(super) fn create(
    root: BorrowedFd<'_>,
    path: &CStr,
    directory: bool,
    upper: Option<&CStr>,
    report: &mut dyn FnMut(Stub) -> Result<(), Errno>,
) -> Result<OwnedFd, Errno> {
    let mut walk = Walk::new(root)?;
    let mut rest: Vec<Vec<u8>> = components(path.to_bytes());
    while let Some(name) = rest.pop() {
        if name == b".." {
            walk.done.pop();
            walk.at = reopen(root, &walk.done)?;
            continue;
        }
        let c_name = CString::new(name.clone()).map_err(|_| Errno::INVAL)?;
        match openat(&walk.at, c_name.as_c_str(), NODE, Mode::empty()) {
            Ok(found) if kind(found.as_fd())? == FileType::Symlink => {
                walk.follow(&found, &mut rest)?
            }
            Ok(found) => walk.enter(found, name),
            Err(Errno::NOENT) => {
                let made = walk.make(&c_name, directory || !rest.is_empty(), upper, report)?;
                walk.enter(made, name);
            }
            Err(errno) => return Err(errno),
        }
    }
    check_kind(&walk.at, directory)?;
    Ok(walk.at)
}

/// Components, last first; empty ones and `.` left out.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').rev();
    parts
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// The directory that `names` lead to without any link.
fn reopen(root: BorrowedFd<'_>, names: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
    let mut at = openat(root, c".", NODE | OFlags::DIRECTORY, Mode::empty())?;
    for name in names {
        at = openat(
            &at,
            name.as_slice(),
            NODE | OFlags::DIRECTORY,
            Mode::empty(),
        )?;
    }
    Ok(at)
}

/// A walk through a container's tree.
struct Walk<'a> {
    root: BorrowedFd<'a>,
    at: OwnedFd,
    /// The way from the root to `at`, without links.
    done: Vec<Vec<u8>>,
    links: u32,
}

impl<'a> Walk<'a> {
    fn new(root: BorrowedFd<'a>) -> Result<Self, Errno> {
        Ok(Self {
            root,
            at: reopen(root, &[])?,
            done: Vec::new(),
            links: 0,
        })
    }

    fn enter(&mut self, fd: OwnedFd, name: Vec<u8>) {
        self.at = fd;
        self.done.push(name);
    }

    /// Puts a link's target in front of what is left to walk.
    fn follow(&mut self, link: &OwnedFd, rest: &mut Vec<Vec<u8>>) -> Result<(), Errno> {
        self.links += 1;
        if self.links > LINK_LIMIT {
            return Err(Errno::LOOP);
        }
        refuse_procfs(link.as_fd())?;
        let target = rustix::fs::readlinkat(link, c"", Vec::new())?;
        if target.to_bytes().starts_with(b"/") {
            self.done.clear();
            self.at = reopen(self.root, &[])?;
        }
        rest.extend(components(target.to_bytes()));
        Ok(())
    }

    fn make(
        &mut self,
        name: &CStr,
        directory: bool,
        upper: Option<&CStr>,
        report: &mut dyn FnMut(Stub) -> Result<(), Errno>,
    ) -> Result<OwnedFd, Errno> {
        refuse_procfs(self.at.as_fd())?;
        let parent_before = modified(self.at.as_fd())?;
        if directory {
            rustix::fs::mkdirat(&self.at, name, Mode::from_raw_mode(0o755))?;
        } else {
            rustix::fs::mknodat(
                &self.at,
                name,
                FileType::RegularFile,
                Mode::from_raw_mode(0o644),
                0,
            )?;
        }
        let made = openat(&self.at, name, NODE, Mode::empty())?;
        let mut path = self.done.join(&b'/');
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        // On another mount than the root it is nobody's layer and needs no report.
        if let Some(inode) = upper.and_then(|upper| inode_in(upper, &path).ok()) {
            let parent_after = modified(self.at.as_fd())?;
            let stub = Stub {
                directory,
                inode,
                parent_before,
                parent_after,
                path: Bytes(path),
            };
            report(stub)?;
        }
        Ok(made)
    }
}

fn modified(fd: BorrowedFd<'_>) -> Result<Time, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(Time {
        seconds: stat.st_mtime as i64,
        nanoseconds: stat.st_mtime_nsec as u32,
    })
}

fn inode_in(upper: &CStr, path: &[u8]) -> Result<u64, Errno> {
    let upper = openat(CWD, upper, NODE | OFlags::DIRECTORY, Mode::empty())?;
    let node = beneath(upper.as_fd(), path, NODE)?;
    Ok(rustix::fs::fstat(&node)?.st_ino as u64)
}

/// Opens a path below `root` that leads through no link and onto no other file system.
pub(crate) fn beneath(root: BorrowedFd<'_>, path: &[u8], how: OFlags) -> Result<OwnedFd, Errno> {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match openat2(root, path, how, Mode::empty(), flags) {
        // Before 5.6, or filtered by an outer container.
        Err(Errno::NOSYS | Errno::PERM) => walk_beneath(root, path, how),
        other => other,
    }
}

fn walk_beneath(root: BorrowedFd<'_>, path: &[u8], how: OFlags) -> Result<OwnedFd, Errno> {
    let device = rustix::fs::fstat(root)?.st_dev;
    let mut names = components(path);
    let last = if names.is_empty() {
        b".".to_vec()
    } else {
        names.remove(0)
    };
    let mut at = openat(root, c".", NODE | OFlags::DIRECTORY, Mode::empty())?;
    while let Some(name) = names.pop() {
        if name == b".." {
            return Err(Errno::XDEV);
        }
        at = openat(
            &at,
            name.as_slice(),
            NODE | OFlags::DIRECTORY,
            Mode::empty(),
        )?;
    }
    if last == b".." {
        return Err(Errno::XDEV);
    }
    let found = openat(&at, last.as_slice(), how | OFlags::NOFOLLOW, Mode::empty())?;
    if rustix::fs::fstat(&found)?.st_dev == device {
        Ok(found)
    } else {
        Err(Errno::XDEV)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_lead_to_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        std::fs::create_dir_all(path.join("a/b")).expect("directories");
        std::fs::write(path.join("a/b/file"), "").expect("a file");
        std::os::unix::fs::symlink("b", path.join("a/link")).expect("a link");
        let root = openat(CWD, path, NODE, Mode::empty()).expect("the directory");
        for asked in [
            "a/b/file",
            "a/b",
            "a",
            ".",
            "a/link",
            "a/link/file",
            "nothing",
            "a/b/file/x",
            "..",
            "a/../..",
        ] {
            let inode = |found: Result<OwnedFd, Errno>| {
                found.and_then(|fd| Ok(rustix::fs::fstat(&fd)?.st_ino))
            };
            let fast = inode(beneath(root.as_fd(), asked.as_bytes(), NODE));
            let slow = inode(walk_beneath(root.as_fd(), asked.as_bytes(), NODE));
            assert_eq!(fast.is_ok(), slow.is_ok(), "{asked}: {fast:?} {slow:?}");
            if fast.is_ok() {
                assert_eq!(fast, slow, "{asked}");
            }
        }
    }
}
