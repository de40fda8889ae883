//! Going through the directories of a tree that may be deeper than descriptors or the stack allow, and may change meanwhile.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, fstat, openat};
use rustix::io::Errno;

use super::size::directory_flags;

/// Visits each directory once, with two descriptors whatever the depth. Links are not followed.
pub(super) struct Descent {
    top: OwnedFd,
    here: OwnedFd,
    /// From the top to the present directory; empty before the first and after the last.
    way: Vec<Level>,
    is_started: bool,
    /// The directories in the present one, to be set by the visitor.
    pub(super) found: Vec<CString>,
}

/// A directory on the way.
struct Level {
    /// Its name in the one above; the top has none.
    name: CString,
    /// Device and inode, to know it again.
    identity: (u64, u64),
    /// The directories in it that were not visited yet.
    rest: Vec<CString>,
}

impl Descent {
    pub(super) fn new(top: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            here: top.try_clone()?,
            top,
            way: Vec::new(),
            is_started: false,
            found: Vec::new(),
        })
    }

    /// The next directory.
    pub(super) fn next(&mut self) -> io::Result<Option<&OwnedFd>> {
        if !self.is_started {
            self.is_started = true;
            self.way.push(Level::new(CString::default(), &self.here)?);
            return Ok(Some(&self.here));
        }
        if let Some(level) = self.way.last_mut() {
            level.rest = std::mem::take(&mut self.found);
        }
        while let Some(level) = self.way.last_mut() {
            let Some(name) = level.rest.pop() else {
                self.up()?;
                continue;
            };
            match openat(&self.here, &name, directory_flags(), Mode::empty()) {
                // Gone or replaced since it was found.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                opened => {
                    self.here = opened?;
                    self.way.push(Level::new(name, &self.here)?);
                    return Ok(Some(&self.here));
                }
            }
        }
        Ok(None)
    }

    /// Back to the directory above. Where the present one was moved away meanwhile, its parent is another now; then the way is gone again from the
    /// top, as far as it still exists.
    fn up(&mut self) -> io::Result<()> {
        self.way.pop();
        let Some(level) = self.way.last() else {
            return Ok(());
        };
        if let Ok(above) = openat(&self.here, c"..", directory_flags(), Mode::empty())
            && identity(&above)? == level.identity
        {
            self.here = above;
            return Ok(());
        }
        self.here = self.top.try_clone()?;
        for depth in 1..self.way.len() {
            let name = &self.way[depth].name;
            let next = openat(&self.here, name, directory_flags(), Mode::empty());
            match next {
                Ok(next) if identity(&next)? == self.way[depth].identity => self.here = next,
                _ => {
                    self.way.truncate(depth);
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Level {
    fn new(name: CString, held: &OwnedFd) -> io::Result<Self> {
        Ok(Self {
            name,
            identity: identity(held)?,
            rest: Vec::new(),
        })
    }
}

fn identity(held: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(held)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::CWD;

    use super::*;

    fn open(path: &std::path::Path) -> OwnedFd {
        openat(CWD, path, directory_flags(), Mode::empty()).unwrap()
    }

    #[test]
    fn a_directory_that_moves_ends_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().join("top");
        for path in ["a/b/c", "z/y"] {
            fs::create_dir_all(top.join(path)).unwrap();
        }
        let names = |names: &[&str]| names.iter().map(|it| CString::new(*it).unwrap()).collect();
        let mut descent = Descent::new(open(&top)).unwrap();
        let mut visited = 0;
        // The last found is visited first: a, b, c, then z and y.
        for found in [&["z", "a"][..], &["b"], &["c"], &[]] {
            assert!(descent.next().unwrap().is_some());
            descent.found = names(found);
            visited += 1;
        }
        fs::rename(top.join("a/b"), scratch.path().join("away")).unwrap();
        for found in [&["y"][..], &[]] {
            assert!(descent.next().unwrap().is_some());
            descent.found = names(found);
            visited += 1;
        }
        assert!(descent.next().unwrap().is_none());
        assert!(descent.next().unwrap().is_none());
        assert_eq!(visited, 6);
    }
}
