//! Directories: made, copied up from below, and what is in their way.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{FileType, Mode, fstat, mkdirat, mknodat};
use rustix::io::Errno;

use super::{MAX_LISTS, TreeWriter};
use crate::layer::{LayerError, Result};
use crate::tree::attributes::{Attributes, no_excuse};
use crate::tree::metadata::Metadata;
use crate::tree::{beneath, path, remove, xattr};
use crate::view::{Entry, Follow};

impl TreeWriter {
    /// Makes a directory with these attributes, and missing ones above it with `parents`. What exists stays as it is;
    /// true when the directory itself was made.
    pub fn ensure_directory(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        parents: &Attributes,
    ) -> Result<bool> {
        let mut here = self.merged.root()?;
        let mut made = false;
        for part in path::components(path) {
            if let Some(entry) = self.merged.child(&here, part)? {
                if !entry.meta.is_directory() {
                    return Err(LayerError::NotADirectory {
                        path: entry.display(),
                    });
                }
                here = entry;
                continue;
            }
            let next = path::join(&here.path, part);
            let is_last = next.len() == path.len();
            self.make_directory(&next, if is_last { attributes } else { parents })?;
            // The first one made may have copied up those above it: what is known of them is out of date.
            let entry = match made {
                true => self.merged.child(&here, part)?,
                false => self.merged.lookup(&next, Follow::Nothing)?,
            };
            here = entry.ok_or_else(|| LayerError::NotADirectory {
                path: path::display(&next),
            })?;
            made = true;
        }
        Ok(made)
    }

    /// Gives an existing directory new attributes.
    pub fn set_directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<()> {
        let held = self.open_directory(path)?;
        self.dress_directory(&held, path, attributes)?;
        if let Some(time) = attributes.mtime {
            self.times.insert(path.to_vec(), time);
        }
        Ok(())
    }

    /// Makes a directory in place of whatever has its name; nothing of a directory of that name shows through.
    pub fn replace_with_directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<()> {
        self.remove(path)?;
        self.make_directory(path, attributes)
    }

    /// Hides everything that a directory has from below.
    pub fn make_opaque(&mut self, path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return Err(LayerError::unfit(
                path,
                "overlay cannot hide what lies below the root",
            ));
        }
        let held = self.open_directory(path)?;
        xattr::set_opaque(&held, self.family)
            .map_err(|error| LayerError::entry("make opaque", path, error))
    }

    /// Removes a name with all below it; an absent one is fine.
    pub fn remove(&mut self, path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return Err(LayerError::unfit(path, "the root cannot be replaced"));
        }
        let Some(_) = self.merged.lookup(path, Follow::Nothing)? else {
            return Ok(());
        };
        let (directory, name) = path::split(path);
        let held = self.open_directory(directory)?;
        self.clear_upper(&held, path)?;
        let shows_through = self.merged.lookup(path, Follow::Nothing)?.is_some();
        if shows_through {
            mknodat(&*held, name, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(|error| LayerError::entry("make a whiteout for", path, error))?;
        }
        Ok(())
    }

    /// Removes what this layer itself has under a name.
    pub(super) fn clear_upper(&mut self, directory: &OwnedFd, path: &[u8]) -> Result<()> {
        remove::remove(directory, path::file_name(path))
            .map_err(|error| LayerError::entry("remove", path, error))?;
        self.last = None;
        self.times.retain(|known, _| !path::is_within(known, path));
        self.default_acls
            .retain(|known, _| !path::is_within(known, path));
        Ok(())
    }

    /// Makes a directory that the merged tree doesn't have. A whiteout in this layer means that the directories below stay
    /// hidden.
    fn make_directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<()> {
        let (directory, name) = path::split(path);
        let held = self.open_directory(directory)?;
        let failed = |error| LayerError::entry("create", path, error);
        let mut hides = false;
        loop {
            match mkdirat(&*held, name, Mode::RWXU) {
                Ok(()) => break,
                Err(Errno::EXIST) if !hides => {
                    hides = true;
                    self.clear_upper(&held, path)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        let made = beneath::open(&*held, name, beneath::DIRECTORY).map_err(failed)?;
        self.dress_directory(&made, path, attributes)?;
        if hides {
            xattr::set_opaque(&made, self.family).map_err(failed)?;
        }
        let made = Rc::new(made);
        self.note_time(path, &made, attributes)?;
        self.last = Some((path.to_vec(), made));
        Ok(())
    }

    /// Opens a directory of this layer for writing into it; one that exists only below is copied up first.
    pub(super) fn open_directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if let Some((last, held)) = &self.last
            && last == path
        {
            return Ok(Rc::clone(held));
        }
        let held = match beneath::open(&*self.root, path, beneath::DIRECTORY) {
            Ok(held) => Rc::new(held),
            Err(Errno::NOENT) => self.copy_up(path)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(LayerError::NotADirectory {
                    path: path::display(path),
                });
            }
            Err(error) => return Err(LayerError::entry("open", path, error)),
        };
        if !self.times.contains_key(path) {
            let stat = fstat(&*held).map_err(|error| LayerError::entry("examine", path, error))?;
            let meta = Metadata::from(&stat);
            self.times
                .insert(path.to_vec(), (meta.mtime, meta.mtime_nsec));
        }
        self.last = Some((path.to_vec(), Rc::clone(&held)));
        Ok(held)
    }

    /// Makes the directory of this layer for one that lies below, with its attributes, and those above it.
    fn copy_up(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        let failed = |error| LayerError::entry("copy up", path, error);
        let entry: Entry = match self.merged.lookup(path, Follow::Nothing)? {
            Some(entry) if entry.meta.is_directory() => entry,
            _ => {
                return Err(LayerError::NotADirectory {
                    path: path::display(path),
                });
            }
        };
        let (directory, name) = path::split(path);
        let held = self.open_directory(directory)?;
        mkdirat(&*held, name, Mode::RWXU).map_err(failed)?;
        let made = Rc::new(beneath::open(&*held, name, beneath::DIRECTORY).map_err(failed)?);
        let attributes =
            Attributes::of(&entry.meta, self.below.xattrs(&self.lower_entry(&entry)?)?);
        self.dress_directory(&made, path, &attributes)?;
        self.note_time(path, &made, &attributes)?;
        Ok(made)
    }

    /// The same entry as the view below knows it: `merged` has one layer more on top.
    fn lower_entry(&self, entry: &Entry) -> Result<Entry> {
        match self.below.lookup(&entry.path, Follow::Nothing)? {
            Some(entry) => Ok(entry),
            None => Err(LayerError::NotADirectory {
                path: entry.display(),
            }),
        }
    }

    /// Sets attributes, but for the list that the directory hands down, which comes last.
    fn dress_directory(
        &mut self,
        held: &OwnedFd,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<()> {
        let mut own = attributes.clone();
        if let Some(acl) = own.take_default_acl() {
            self.list_bytes += acl.len();
            if self.list_bytes > MAX_LISTS {
                let reason = "comes after too many access control lists";
                return Err(LayerError::unfit(path, reason));
            }
            self.default_acls.insert(path.to_vec(), acl);
        }
        own.set_on_open(&self.owners, held, path, &mut no_excuse(path))
    }

    fn note_time(&mut self, path: &[u8], made: &OwnedFd, attributes: &Attributes) -> Result<()> {
        let time = match attributes.mtime {
            Some(time) => time,
            None => {
                let stat =
                    fstat(made).map_err(|error| LayerError::entry("examine", path, error))?;
                let meta = Metadata::from(&stat);
                (meta.mtime, meta.mtime_nsec)
            }
        };
        self.times.insert(path.to_vec(), time);
        Ok(())
    }
}
