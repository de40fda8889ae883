//! The directories of a tree that is being unpacked: finding and making the one an entry goes to.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, mkdirat, readlinkat, statat, unlinkat};
use rustix::io::Errno;

use crate::OverlayXattrs;
use crate::layer::{LayerError, Result};
use crate::tree::metadata::Metadata;
use crate::tree::{beneath, path, xattr};

/// Links of the archive's own that one name may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// The way to the directory that was used last.
pub(super) struct Places {
    family: OverlayXattrs,
    /// The root, and below it directories of the way with their paths; some between them may be left out.
    way: Vec<(Vec<u8>, OwnedFd)>,
}

/// What was found in a directory's place when it was to be opened.
enum InTheWay {
    Nothing,
    Link(Vec<u8>),
    Whiteout,
    Other,
}

/// A directory that had to be made.
pub(super) struct Made {
    pub path: Vec<u8>,
    /// True when the archive deletes what lies below it, so that nothing below says how it looks.
    pub is_fresh: bool,
}

impl Places {
    pub(super) fn new(root: OwnedFd, family: OverlayXattrs) -> Self {
        Self {
            family,
            way: vec![(Vec::new(), root)],
        }
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> &OwnedFd {
        &self.way[0].1
    }

    /// Opens the directory of an entry; missing ones are made and given to `made`. Gives its real path, which differs from
    /// the one asked for when links of this very archive lie in between.
    pub(super) fn open(
        &mut self,
        entry: &[u8],
        directory: &[u8],
        made: &mut Vec<Made>,
    ) -> Result<Vec<u8>> {
        let mut wanted = directory.to_vec();
        for _ in 0..=MAX_LINKS {
            match self.walk(entry, &wanted, made)? {
                None => return Ok(wanted),
                Some(target) => wanted = target,
            }
        }
        Err(LayerError::refused(
            entry,
            "its path leads through too many symbolic links",
        ))
    }

    /// The directory that [`Places::open`] opened.
    pub(super) fn here(&self) -> &OwnedFd {
        // The root is always there.
        &self.way[self.way.len() - 1].1
    }

    /// Notes that a directory was made and is open; the next entries are likely to go there.
    pub(super) fn enter(&mut self, path: Vec<u8>, held: OwnedFd) {
        self.way.push((path, held));
    }

    /// Forgets a directory that was removed, and those below it.
    pub(super) fn forget(&mut self, gone: &[u8]) {
        self.way
            .retain(|(known, _)| known.is_empty() || !path::is_within(known, gone));
    }

    /// Goes to a directory. Where a link is in the way, the path to try instead is given back.
    fn walk(
        &mut self,
        entry: &[u8],
        wanted: &[u8],
        made: &mut Vec<Made>,
    ) -> Result<Option<Vec<u8>>> {
        while !path::is_within(wanted, &self.way[self.way.len() - 1].0) {
            self.way.pop();
        }
        let reached = self.way[self.way.len() - 1].0.clone();
        let mut here = reached.clone();
        let rest = wanted[reached.len()..]
            .strip_prefix(b"/")
            .unwrap_or(&wanted[reached.len()..]);
        // Several steps at once where nothing has to be made and no link is in the way, as in archives in no order.
        if rest.contains(&b'/')
            && let Ok(held) = beneath::open(self.here(), rest, beneath::DIRECTORY)
        {
            self.way.push((wanted.to_vec(), held));
            return Ok(None);
        }
        for name in path::components(rest) {
            let next = path::join(&here, name);
            match beneath::open(self.here(), name, beneath::DIRECTORY) {
                Ok(held) => self.way.push((next.clone(), held)),
                Err(Errno::NOENT) => self.make(name, &next, false, made)?,
                Err(Errno::NOTDIR | Errno::LOOP) => match self.in_the_way(name, &next)? {
                    InTheWay::Nothing => self.make(name, &next, false, made)?,
                    InTheWay::Whiteout => {
                        unlinkat(self.here(), name, AtFlags::empty())
                            .map_err(|error| LayerError::entry("replace", &next, error))?;
                        self.make(name, &next, true, made)?;
                    }
                    InTheWay::Link(target) => {
                        let after = &wanted[next.len()..];
                        return Ok(Some(inside(entry, &here, &target, after)?));
                    }
                    InTheWay::Other => {
                        let reason = format!("`{}` above it is no directory", path::display(&next));
                        return Err(LayerError::refused(entry, reason));
                    }
                },
                Err(error) => return Err(LayerError::entry("open", &next, error)),
            }
            here = next;
        }
        Ok(None)
    }

    fn make(
        &mut self,
        name: &[u8],
        path: &[u8],
        is_fresh: bool,
        made: &mut Vec<Made>,
    ) -> Result<()> {
        let failed = |error| LayerError::entry("create", path, error);
        // What an implied directory has until a stack knows better.
        mkdirat(self.here(), name, Mode::RWXU).map_err(failed)?;
        let held = beneath::open(self.here(), name, beneath::DIRECTORY).map_err(failed)?;
        rustix::fs::fchmod(&held, Mode::from_raw_mode(0o755)).map_err(failed)?;
        if is_fresh {
            xattr::set_opaque(&held, self.family).map_err(failed)?;
        }
        self.way.push((path.to_vec(), held));
        made.push(Made {
            path: path.to_vec(),
            is_fresh,
        });
        Ok(())
    }

    fn in_the_way(&self, name: &[u8], path: &[u8]) -> Result<InTheWay> {
        let failed = |error| LayerError::entry("examine", path, error);
        let stat = match statat(self.here(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(InTheWay::Nothing),
            stat => stat.map_err(failed)?,
        };
        let meta = Metadata::from(&stat);
        if meta.is_symlink() {
            let target = readlinkat(self.here(), name, Vec::new()).map_err(failed)?;
            return Ok(InTheWay::Link(target.into_bytes()));
        }
        Ok(if meta.is_whiteout() {
            InTheWay::Whiteout
        } else {
            InTheWay::Other
        })
    }
}

/// The path that a link of the archive means, if it stays inside by name alone. Anything else would depend on what lies
/// below, or lead out of the tree.
fn inside(entry: &[u8], directory: &[u8], target: &[u8], after: &[u8]) -> Result<Vec<u8>> {
    let refused = |reason| Err(LayerError::refused(entry, reason));
    if target.starts_with(b"/") {
        return refused("its path leads through an absolute symbolic link");
    }
    let mut parts: Vec<&[u8]> = path::components(directory).collect();
    for part in path::components(target) {
        if part != b".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            return refused("its path leads through a symbolic link out of the layer");
        }
    }
    parts.extend(path::components(after));
    Ok(parts.join(&b'/'))
}
