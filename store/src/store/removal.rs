//! Deleting trees, whatever a container left in them.
//!
//! A tree may be far deeper than descriptors or the stack reach. What lies deeper than some levels is first moved up, beside
//! the tree, and deleted from there. A process that is killed meanwhile leaves a directory in `tmp/` for the next sweep.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, fchmod, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::collect::size::{UNIT, directory_flags, is_directory};
use super::temporary::random_name;

/// Levels that are descended into. Each holds a descriptor, of which a process has at least a thousand.
const DEEPEST: usize = 200;

/// Deletes a tree or a file; gives the bytes that became free: a file with another link elsewhere keeps its own. An absent
/// one is fine.
pub(crate) fn remove_counted(path: &Path) -> io::Result<u64> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(Errno::INVAL));
    };
    let top = match openat(rustix::fs::CWD, parent, directory_flags(), Mode::empty()) {
        Err(Errno::NOENT) => return Ok(0),
        top => top?,
    };
    let mut removal = Removal {
        top,
        moved: vec![CString::new(name.as_encoded_bytes())?],
        freed: 0,
    };
    while let Some(name) = removal.moved.pop() {
        let top = removal.top.try_clone()?;
        removal.remove(&top, &name, 0)?;
    }
    Ok(removal.freed)
}

struct Removal {
    /// Where the tree lies.
    top: OwnedFd,
    /// What is still to be deleted there.
    moved: Vec<CString>,
    freed: u64,
}

impl Removal {
    fn remove(&mut self, parent: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
        let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat?,
        };
        let is_directory = is_directory(&stat);
        let mut flags = AtFlags::empty();
        if is_directory {
            let directory = opened(parent, name)?;
            if depth == DEEPEST {
                return self.move_up(parent, name, &directory);
            }
            for inner in names(&directory)? {
                self.remove(&directory, &inner, depth + 1)?;
            }
            flags = AtFlags::REMOVEDIR;
        }
        match unlinkat(parent, name, flags) {
            // Another process sweeps the same.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        if is_directory || stat.st_nlink == 1 {
            self.freed += stat.st_blocks.unsigned_abs() * UNIT;
        }
        Ok(())
    }

    fn move_up(&mut self, parent: &OwnedFd, name: &CStr, directory: &OwnedFd) -> io::Result<()> {
        // Its entry `..` changes, for which it must be writable.
        let _ = fchmod(directory, Mode::RWXU);
        let target = random_name().map_err(io::Error::other)?;
        let target = CString::new(format!("deep-{target}"))?;
        renameat(parent, name, &self.top, &*target)?;
        self.moved.push(target);
        Ok(())
    }
}

/// Opens a directory, also one that is closed to its owner, so that what it holds can be removed.
fn opened(parent: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    let directory = match openat(parent, name, directory_flags(), Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            openat(parent, name, directory_flags(), Mode::empty())?
        }
        directory => directory?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&directory)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // Somebody else's cannot be changed; removing from it may be allowed all the same.
        let _ = fchmod(&directory, Mode::RWXU);
    }
    Ok(directory)
}

fn names(directory: &impl AsFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn trees_deeper_than_descriptors_reach_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut here = openat(rustix::fs::CWD, &tree, directory_flags(), Mode::empty()).unwrap();
        for level in 0..3000 {
            rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            if level % 500 == 0 {
                let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
                let file = openat(&here, "file", flags, Mode::RUSR).unwrap();
                rustix::io::write(&file, &[1; 5000]).unwrap();
            }
            here = openat(&here, "d", directory_flags(), Mode::empty()).unwrap();
        }
        drop(here);
        assert!(remove_counted(&tree).unwrap() >= 6 * 5000);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(remove_counted(&tree).unwrap(), 0);
    }

    #[test]
    fn closed_directories_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("closed/inner")).unwrap();
        for path in ["closed/inner", "closed"] {
            fs::set_permissions(tree.join(path), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_counted(&tree).unwrap();
        assert!(!tree.exists());
    }
}
