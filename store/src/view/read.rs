//! Reading what a look-up found.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, OFlags, fstat, readlinkat, statat};
use rustix::io::Errno;

use super::{Entry, Follow, Place, View};
use crate::layer::{LayerError, Result};
use crate::tree::metadata::Metadata;
use crate::tree::owner::Reach;
use crate::tree::xattr::Xattrs;
use crate::tree::{beneath, path, xattr};

/// What is known of a name while a merged directory is read from the top down.
struct Merging {
    meta: Metadata,
    layers: Vec<u32>,
    /// False once something hides what lies below.
    open: bool,
    /// False for a whiteout.
    shown: bool,
}

impl View {
    /// The entries of a directory, sorted by name.
    pub fn read_dir(&self, directory: &Entry) -> Result<Vec<Entry>> {
        if let Place::One(layer) = directory.place {
            return self.read_single(directory, layer);
        }
        let layers = directory.place.layers();
        let mut names: HashMap<Vec<u8>, Merging> = HashMap::new();
        for (at, &layer) in layers.iter().enumerate() {
            let is_lowest = at + 1 == layers.len();
            let held = self.open_in(layer, &directory.path, beneath::DIRECTORY)?;
            for name in beneath::names(&held)
                .map_err(|error| LayerError::entry("read", &directory.path, error))?
            {
                self.merge(&mut names, layer, is_lowest, &held, directory, name)?;
            }
        }
        let mut entries: Vec<Entry> = names
            .into_iter()
            .filter(|(_, merging)| merging.shown)
            .map(|(name, merging)| Entry {
                path: path::join(&directory.path, &name),
                meta: merging.meta,
                place: Place::of(merging.layers),
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn read_single(&self, directory: &Entry, layer: u32) -> Result<Vec<Entry>> {
        let held = self.open_in(layer, &directory.path, beneath::DIRECTORY)?;
        let names = beneath::names(&held)
            .map_err(|error| LayerError::entry("read", &directory.path, error))?;
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let path = path::join(&directory.path, &name);
            let Some(meta) = self.stat_name(layer, &held, &name, &path)? else {
                continue;
            };
            if self.family.is_some() && meta.is_whiteout() {
                continue;
            }
            entries.push(Entry {
                path,
                meta,
                place: Place::One(layer),
            });
        }
        Ok(entries)
    }

    fn merge(
        &self,
        names: &mut HashMap<Vec<u8>, Merging>,
        layer: u32,
        is_lowest: bool,
        held: &OwnedFd,
        directory: &Entry,
        name: Vec<u8>,
    ) -> Result<()> {
        if names.get(&name).is_some_and(|merging| !merging.open) {
            return Ok(());
        }
        let path = path::join(&directory.path, &name);
        let Some(meta) = self.stat_name(layer, held, &name, &path)? else {
            return Ok(());
        };
        let is_whiteout = meta.is_whiteout();
        let goes_on = meta.is_directory() && (is_lowest || !self.is_opaque(layer, &path)?);
        match names.get_mut(&name) {
            Some(merging) => {
                if meta.is_directory() {
                    merging.layers.push(layer);
                }
                merging.open = goes_on;
            }
            None => {
                names.insert(
                    name,
                    Merging {
                        meta,
                        layers: vec![layer],
                        open: goes_on,
                        shown: !is_whiteout,
                    },
                );
            }
        }
        Ok(())
    }

    /// Opens a regular file for reading. Anything else is an error; a device or pipe is never opened.
    pub fn open_file(&self, entry: &Entry) -> Result<File> {
        let layer = self.top_layer(entry)?;
        // Without NONBLOCK a pipe that took the file's place would block; regular files ignore it.
        let file = self.open_in(
            layer,
            &entry.path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        )?;
        let stat =
            fstat(&file).map_err(|error| LayerError::entry("examine", &entry.path, error))?;
        if !Metadata::from(&stat).is_file() {
            return Err(LayerError::NotAFile {
                path: entry.display(),
            });
        }
        Ok(File::from(file))
    }

    /// Opens a regular file as [`View::open_file`] does, and reads its extended attributes through the same descriptor.
    pub fn open_file_with_xattrs(&self, entry: &Entry) -> Result<(File, Xattrs)> {
        let file = self.open_file(entry)?;
        let all = xattr::of_open(&file)
            .map_err(|error| LayerError::entry("read the attributes of", &entry.path, error))?;
        let xattrs = if self.family.is_some() {
            xattr::for_export(all)
        } else {
            all
        };
        Ok((file, xattrs))
    }

    /// Reads a whole regular file of at most `limit` bytes.
    pub fn read_file(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let file = self.open_file(entry)?;
        file.take(limit + 1)
            .read_to_end(&mut content)
            .map_err(|error| LayerError::io("read", &entry.path, error))?;
        if content.len() as u64 > limit {
            return Err(LayerError::TooLarge {
                path: entry.display(),
                limit,
            });
        }
        Ok(content)
    }

    /// The target of a symbolic link, as it stands.
    pub fn read_link(&self, entry: &Entry) -> Result<Vec<u8>> {
        let held = self.open_in(self.top_layer(entry)?, &entry.path, OFlags::PATH)?;
        readlinkat(held, c"", Vec::new())
            .map(|target| target.into_bytes())
            .map_err(|error| LayerError::entry("read the link", &entry.path, error))
    }

    /// The extended attributes that belong to the entry itself, sorted by name; overlay's own are left out.
    pub fn xattrs(&self, entry: &Entry) -> Result<Xattrs> {
        let Some(layer) = entry.place.top() else {
            return Ok(Vec::new());
        };
        let all = if entry.path.is_empty() {
            xattr::of_open(self.layers[layer as usize].fd()?)
        } else {
            let (directory, name) = path::split(&entry.path);
            let held = self.open_in(layer, directory, OFlags::PATH | OFlags::DIRECTORY)?;
            xattr::of_name(held, name)
        };
        let all =
            all.map_err(|error| LayerError::entry("read the attributes of", &entry.path, error))?;
        Ok(if self.family.is_some() {
            xattr::for_export(all)
        } else {
            all
        })
    }

    /// Visits everything below an entry, each directory before what it holds, in the order of names. The visitor
    /// gets the entry and says whether to go on; `ControlFlow::Break` leaves that directory out, and is ignored
    /// for other kinds.
    pub fn walk(
        &self,
        top: &Entry,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for entry in self.read_dir(top)? {
            let flow = visit(&entry)?;
            if entry.meta.is_directory() && flow.is_continue() {
                self.walk(&entry, visit)?;
            }
        }
        Ok(())
    }

    /// Finds a path, all links followed, and opens it when it is a regular file.
    pub fn open_path(&self, path: &[u8]) -> Result<Option<(Entry, File)>> {
        let Some(entry) = self.lookup(path, Follow::All)? else {
            return Ok(None);
        };
        let file = self.open_file(&entry)?;
        Ok(Some((entry, file)))
    }

    /// The directory of the host in which an entry's topmost part lies, as a path and an open descriptor.
    pub(crate) fn open_in(&self, layer: u32, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        beneath::open(self.layers[layer as usize].fd()?, path, flags)
            .map_err(|error| LayerError::entry("open", path, error))
    }

    fn top_layer(&self, entry: &Entry) -> Result<u32> {
        entry.place.top().ok_or_else(|| LayerError::NotAFile {
            path: entry.display(),
        })
    }

    /// `lstat` of a name in a directory of one layer.
    fn stat_name(
        &self,
        layer: u32,
        directory: &OwnedFd,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<Metadata>> {
        let meta = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Metadata::from(&stat),
            // Removed since it was listed.
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(LayerError::entry("examine", path, error)),
        };
        self.correct(layer, path, meta, Reach::Name(directory.as_fd(), name))
            .map(Some)
    }
}
