//! What a container has changed of its image's files.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use kiln_store::tree::record_of;
use kiln_store::{Entry, View};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::Containers;
use super::containers::Container;
use super::error::{Context, Result};
use super::image_tree::ImageTree;

/// How a path differs from the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was there.
    Changed,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
}

impl Change {
    /// Docker's letter for it.
    pub fn letter(self) -> char {
        match self {
            Self::Changed => 'C',
            Self::Added => 'A',
            Self::Deleted => 'D',
        }
    }
}

/// Places that a start makes for its own mounts.
const OWN_PLACES: [&[u8]; 8] = [
    b"proc",
    b"sys",
    b"dev",
    b"etc/hosts",
    b"etc/hostname",
    b"etc/resolv.conf",
    b".dockerenv",
    b"dev/console",
];

/// Overlay's mark of a directory that hides what lies below, in its two families.
const OPAQUE: [&CStr; 2] = [c"trusted.overlay.opaque", c"user.overlay.opaque"];
/// The mark of a name that is gone, for stores that can't have device nodes.
const WHITEOUT: [&CStr; 2] = [c"trusted.overlay.whiteout", c"user.overlay.whiteout"];

impl Containers {
    /// The paths that differ, in the order of their names.
    pub fn difference(&self, container: &Container) -> Result<BTreeMap<Vec<u8>, Change>> {
        let tree = ImageTree::open(&self.store, &container.config().image.layers)?;
        let upper = container.upper();
        let held = File::open(&upper).context(|| format!("opening {}", upper.display()))?;
        let targets = container.config().mounts.iter();
        let mut differ = Differ {
            below: tree.view(),
            places: targets
                .map(|mount| mount.target.trim_start_matches('/').as_bytes().to_vec())
                .collect(),
            changes: BTreeMap::new(),
        };
        let root = tree.view().root()?;
        differ.directory(held.as_fd(), b"", Some(&root))?;
        Ok(differ.changes)
    }
}

struct Differ<'a> {
    below: &'a View,
    /// Where the container's mounts are.
    places: Vec<Vec<u8>>,
    changes: BTreeMap<Vec<u8>, Change>,
}

impl Differ<'_> {
    /// Compares a directory of the container with that of the image, if there is one. True if anything below differs.
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &[u8],
        below: Option<&Entry>,
    ) -> Result<bool> {
        let describe = || format!("reading /{}", String::from_utf8_lossy(path));
        let mut differs = false;
        let opaque = marked(directory, &OPAQUE);
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).context(describe)? {
            let name = entry.context(describe)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        if opaque && let Some(below) = below {
            for entry in self.below.read_dir(below)? {
                if !names.iter().any(|name| name.as_slice() == entry.name()) {
                    self.changes
                        .insert(join(path, entry.name()), Change::Deleted);
                    differs = true;
                }
            }
        }
        for name in names {
            differs |= self.entry(directory, &name, join(path, &name), below)?;
        }
        Ok(differs)
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
        below: Option<&Entry>,
    ) -> Result<bool> {
        let describe = || format!("reading /{}", String::from_utf8_lossy(&path));
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            other => other.context(describe)?,
        };
        let old = match below {
            Some(below) => self.below.child(below, name)?,
            None => None,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if kind == FileType::CharacterDevice && stat.st_rdev == 0
            || kind == FileType::RegularFile
                && stat.st_size == 0
                && openat(directory, name, flags, Mode::empty())
                    .is_ok_and(|file| marked(file.as_fd(), &WHITEOUT))
        {
            if old.is_some() {
                self.changes.insert(path, Change::Deleted);
            }
            return Ok(old.is_some());
        }
        if kind != FileType::Directory {
            if self.is_place(&path) && stat.st_size == 0 {
                return Ok(false);
            }
            let change = if old.is_some() {
                Change::Changed
            } else {
                Change::Added
            };
            self.changes.insert(path, change);
            return Ok(true);
        }
        let inner =
            openat(directory, name, flags | OFlags::DIRECTORY, Mode::empty()).context(describe)?;
        let old_directory = old.as_ref().filter(|old| old.meta.is_directory());
        let differs = self.directory(inner.as_fd(), &path, old_directory)?;
        let itself = match &old {
            None => !self.is_place(&path) || differs,
            Some(old) => {
                let mut new = fstat(&inner).context(describe)?;
                if let Some(record) = record_of(&inner).context(describe)? {
                    (new.st_uid, new.st_gid) = (record.uid, record.gid);
                }
                !same(old, &new, self.holds_place(&path))
            }
        };
        if differs || itself {
            let change = if old.is_some() {
                Change::Changed
            } else {
                Change::Added
            };
            self.changes.insert(path, change);
        }
        Ok(differs || itself)
    }

    fn holds_place(&self, path: &[u8]) -> bool {
        let inside = [path, b"/"].concat();
        let own = OWN_PLACES.iter().any(|place| place.starts_with(&inside));
        own || self.places.iter().any(|place| place.starts_with(&inside))
    }

    fn is_place(&self, path: &[u8]) -> bool {
        OWN_PLACES.contains(&path)
            || self
                .places
                .iter()
                .any(|place| place == path || place.starts_with(&[path, b"/"].concat()))
    }
}

/// Whether a directory that was copied up is as it was. One that a start made places in has another time.
fn same(old: &Entry, new: &Stat, any_time: bool) -> bool {
    (old.meta.mode, old.meta.uid, old.meta.gid) == (new.st_mode & 0o7777, new.st_uid, new.st_gid)
        && (any_time
            || (old.meta.mtime, i64::from(old.meta.mtime_nsec))
                == (new.st_mtime, new.st_mtime_nsec as i64))
}

fn marked(file: BorrowedFd<'_>, marks: &[&CStr]) -> bool {
    marks.iter().any(|mark| {
        let mut value = [0; 8];
        rustix::fs::fgetxattr(file, *mark, &mut value[..]).is_ok()
    })
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        name.to_vec()
    } else {
        [directory, b"/", name].concat()
    }
}
