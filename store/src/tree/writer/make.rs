//! Files, links and devices.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, linkat, mknodat, openat, symlinkat};
use rustix::io::Errno;

use super::TreeWriter;
use crate::layer::{LayerError, Result};
use crate::tree::attributes::{Attributes, no_excuse, set_mtime, set_mtime_of_open};
use crate::tree::copy::copy_content;
use crate::tree::metadata::{Kind, Metadata};
use crate::tree::owner::Reach;
use crate::tree::{beneath, path};
use crate::view::{Entry, View};

impl TreeWriter {
    /// Writes a regular file with the content of another, shared with it where the file system can. It replaces what has its
    /// name. The directory must exist (see [`TreeWriter::ensure_directory`]).
    pub fn file(&mut self, path: &[u8], content: &File, attributes: &Attributes) -> Result<()> {
        let stat = fstat(content)
            .map_err(|error| LayerError::entry("examine the source of", path, error))?;
        let meta = Metadata::from(&stat);
        self.new_file(path, attributes, |file| copy_content(content, file, &meta))
    }

    /// Writes a regular file with what a reader gives; the number of bytes is returned.
    pub fn file_from(
        &mut self,
        path: &[u8],
        content: &mut dyn Read,
        attributes: &Attributes,
    ) -> Result<u64> {
        let mut length = 0;
        self.new_file(path, attributes, |mut file| {
            length = io::copy(content, &mut file)?;
            Ok(())
        })?;
        Ok(length)
    }

    fn new_file(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        fill: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self
            .make(path, |directory, name| {
                openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
            })?
            .1;
        let file = File::from(made);
        fill(&file).map_err(|error| LayerError::io("write", path, error))?;
        let file = OwnedFd::from(file);
        attributes.set_on_open(&self.owners, &file, path, &mut no_excuse(path))?;
        match attributes.mtime {
            Some(time) => set_mtime_of_open(&file, time, path),
            None => Ok(()),
        }
    }

    /// Makes a symbolic link, in place of what has its name.
    pub fn symlink(&mut self, path: &[u8], target: &[u8], attributes: &Attributes) -> Result<()> {
        let (held, ()) = self.make(path, |directory, name| symlinkat(target, directory, name))?;
        self.dress(&held, path, Kind::Symlink, attributes)
    }

    /// Makes a pipe or device, in place of what has its name.
    pub fn node(
        &mut self,
        path: &[u8],
        kind: Kind,
        rdev: u64,
        attributes: &Attributes,
    ) -> Result<()> {
        let file_type = match kind {
            Kind::CharacterDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            _ => return Err(LayerError::unfit(path, "is neither a device nor a pipe")),
        };
        if kind == Kind::CharacterDevice && rdev == 0 {
            return Err(LayerError::unfit(
                path,
                "a device 0:0 would read as a deletion",
            ));
        }
        let (held, ()) = self.make(path, |directory, name| {
            mknodat(directory, name, file_type, Mode::RUSR | Mode::WUSR, rdev)
        })?;
        self.dress(&held, path, kind, attributes)
    }

    /// Makes another name for a file that this writer made before.
    pub fn hard_link(&mut self, path: &[u8], existing: &[u8]) -> Result<()> {
        let (directory, existing_name) = path::split(existing);
        let source = beneath::open(&*self.root, directory, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|error| LayerError::entry("open", directory, error))?;
        self.make(path, |directory, name| {
            linkat(&source, existing_name, directory, name, AtFlags::empty())
        })?;
        Ok(())
    }

    /// Takes a file, link or device of a stored layer over without copying it: another name for the same inode. Its
    /// attributes come with it and must not be changed. False when the file system refuses; then it has to be copied.
    pub fn adopt(&mut self, path: &[u8], view: &View, entry: &Entry) -> Result<bool> {
        if entry.meta.is_directory() {
            return Ok(false);
        }
        let Some(layer) = entry.place.top() else {
            return Ok(false);
        };
        let (directory, source_name) = path::split(&entry.path);
        let source = view.open_in(layer, directory, OFlags::PATH | OFlags::DIRECTORY)?;
        let (uid, gid) = (entry.meta.uid, entry.meta.gid);
        let linked = self.make(path, |directory, name| {
            match linkat(&source, source_name, directory, name, AtFlags::empty()) {
                Ok(()) => Ok(true),
                Err(Errno::XDEV | Errno::MLINK | Errno::PERM) => Ok(false),
                Err(error) => Err(error),
            }
        })?;
        // The record of a file comes with it, that of a link lies in the table of its own layer.
        if linked.1 && !entry.meta.is_file() && (uid, gid) != (0, 0) {
            self.owners
                .note(
                    Reach::Name(linked.0.as_fd(), path::file_name(path)),
                    uid,
                    gid,
                )
                .map_err(|error| LayerError::entry("record the owner of", path, error))?;
        }
        Ok(linked.1)
    }

    /// Runs a call that makes a name; what this layer has there already is removed first. What lies below needs nothing: the
    /// new entry hides it.
    fn make<R>(
        &mut self,
        path: &[u8],
        create: impl Fn(&OwnedFd, &[u8]) -> rustix::io::Result<R>,
    ) -> Result<(Rc<OwnedFd>, R)> {
        let (directory, name) = path::split(path);
        if name.is_empty() {
            return Err(LayerError::unfit(path, "the root cannot be replaced"));
        }
        let held = self.open_directory(directory)?;
        let result = match create(&held, name) {
            Err(Errno::EXIST) => {
                self.clear_upper(&held, path)?;
                create(&held, name)
            }
            result => result,
        };
        let made = result.map_err(|error| LayerError::entry("create", path, error))?;
        Ok((held, made))
    }

    fn dress(
        &mut self,
        held: &OwnedFd,
        path: &[u8],
        kind: Kind,
        attributes: &Attributes,
    ) -> Result<()> {
        let name = path::file_name(path);
        attributes.set_on_name(&self.owners, held, name, kind, path, &mut no_excuse(path))?;
        match attributes.mtime {
            Some(time) => set_mtime(held, name, time, path),
            None => Ok(()),
        }
    }
}
