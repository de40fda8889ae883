//! Writes what was selected into a layer in the making.
//!
//! A directory gives its content, never itself; a file goes into a destination that is a directory or ends with `/`.
//! The directory that is named as the destination keeps its attributes, directories below it get those of the source.

use std::collections::{HashMap, HashSet};

use kiln_store::tree::{Attributes, Kind, Time, TreeWriter, path};
use kiln_store::view::{Entry, Follow, View};

use super::mode::Chmod;
use super::select::{Selected, SourceTree, Taken};
use super::{CopyError, previous::Previous};

/// The mode of directories that have to be made on the way.
const DIRECTORY_MODE: u32 = 0o755;

/// How entries change on the way.
#[derive(Debug, Clone)]
pub(crate) struct TransferOptions<'a> {
    /// Where to, absolute; a `/` at the end means a directory.
    pub(crate) destination: &'a [u8],
    /// The owner of everything, if it is not the source's.
    pub(crate) owner: Option<(u32, u32)>,
    /// What happens to modes.
    pub(crate) chmod: Option<&'a Chmod>,
    /// The latest time that an entry may have.
    pub(crate) clamp: Option<i64>,
    /// The source's path is kept below the destination.
    pub(crate) parents: bool,
    /// The layer that an earlier run of the same step made.
    pub(crate) previous: Option<&'a Previous>,
}

/// Writes through a [`TreeWriter`] by the rules of `COPY`.
pub(crate) struct Transfer<'a> {
    writer: &'a mut TreeWriter,
    view: &'a View,
    options: &'a TransferOptions<'a>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Directories that were made here: nothing can be in the way in them, so nothing is looked up.
    fresh: HashSet<Vec<u8>>,
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(
        writer: &'a mut TreeWriter,
        tree: &SourceTree<'a>,
        options: &'a TransferOptions<'a>,
    ) -> Self {
        Self {
            writer,
            view: tree.view,
            options,
            links: HashMap::new(),
            fresh: HashSet::new(),
        }
    }

    /// Writes one selected entry with all that lies below it.
    pub(crate) fn put(&mut self, selected: &Selected) -> Result<(), CopyError> {
        if self.options.parents {
            return self.put_with_parents(selected);
        }
        let target = target(
            self.writer,
            self.options.destination,
            &selected.top,
            &selected.name,
        )?;
        let made = self.made_on_the_way(Some(mtime(&selected.top)));
        if selected.top.meta.is_directory() {
            self.directory(&target, &made, &made)?;
            return self.below(&target, &selected.below);
        }
        self.directory(path::parent(&target), &made, &made)?;
        self.leaf(&target, &selected.top)
    }

    fn put_with_parents(&mut self, selected: &Selected) -> Result<(), CopyError> {
        let base = self
            .writer
            .resolve(self.options.destination, Follow::All)?
            .path;
        let made = self.made_on_the_way(Some(mtime(&selected.top)));
        self.directory(&base, &made, &made)?;
        for Taken { relative, entry } in &selected.parents {
            let attributes = self.attributes(entry)?;
            self.directory(&path::join(&base, relative), &attributes, &made)?;
        }
        let target = path::join(&base, &selected.name);
        if !selected.top.meta.is_directory() {
            return self.leaf(&target, &selected.top);
        }
        self.nested(&target, &selected.top)?;
        self.below(&target, &selected.below)
    }

    fn below(&mut self, target: &[u8], taken: &[Taken]) -> Result<(), CopyError> {
        for Taken { relative, entry } in taken {
            let place = path::join(target, relative);
            if entry.meta.is_directory() {
                self.nested(&place, entry)?;
            } else {
                self.leaf(&place, entry)?;
            }
        }
        Ok(())
    }

    /// Makes a directory that the copy needs; one that is there stays as it is.
    fn directory(
        &mut self,
        place: &[u8],
        attributes: &Attributes,
        above: &Attributes,
    ) -> Result<(), CopyError> {
        if let Some(entry) = self.writer.view().lookup(place, Follow::Nothing)?
            && !entry.meta.is_directory()
        {
            return Err(CopyError::NotADirectory(shown(place)));
        }
        if self.writer.ensure_directory(place, attributes, above)? {
            self.fresh.insert(place.to_vec());
        }
        Ok(())
    }

    /// A directory inside the source: made, or given the source's attributes.
    fn nested(&mut self, place: &[u8], entry: &Entry) -> Result<(), CopyError> {
        let attributes = self.attributes(entry)?;
        match self.writer.view().lookup(place, Follow::Nothing)? {
            Some(existing) if !existing.meta.is_directory() => {
                Err(CopyError::NotADirectory(shown(place)))
            }
            Some(_) => Ok(self.writer.set_directory(place, &attributes)?),
            None => {
                self.writer
                    .ensure_directory(place, &attributes, &attributes)?;
                self.fresh.insert(place.to_vec());
                Ok(())
            }
        }
    }

    /// Anything but a directory.
    fn leaf(&mut self, place: &[u8], entry: &Entry) -> Result<(), CopyError> {
        if !self.fresh.contains(path::parent(place)) {
            let existing = self.writer.view().lookup(place, Follow::Nothing)?;
            if existing.is_some_and(|existing| existing.meta.is_directory()) {
                return Err(CopyError::IsADirectory(shown(place)));
            }
        }
        if entry.meta.nlink > 1 && entry.meta.is_file() {
            let identity = (entry.meta.dev, entry.meta.ino);
            if let Some(first) = self.links.get(&identity) {
                return Ok(self.writer.hard_link(place, first)?);
            }
            self.links.insert(identity, place.to_vec());
        }
        match entry.meta.kind {
            Kind::File => self.file(place, entry),
            Kind::Symlink => {
                let attributes = self.attributes(entry)?;
                let target = self.view.read_link(entry)?;
                Ok(self.writer.symlink(place, &target, &attributes)?)
            }
            // Sockets mean nothing without the process that made them, and no layer can hold one.
            Kind::Socket => Ok(()),
            kind => {
                let attributes = self.attributes(entry)?;
                Ok(self
                    .writer
                    .node(place, kind, entry.meta.rdev, &attributes)?)
            }
        }
    }

    fn file(&mut self, place: &[u8], entry: &Entry) -> Result<(), CopyError> {
        if let Some(previous) = self.options.previous {
            // The same hash means the same extended attributes, so they need not be read.
            let attributes = self.changed(entry, Vec::new());
            if let Some((view, unchanged)) = previous.unchanged(place, entry, &attributes)?
                && self.writer.adopt(place, view, &unchanged)?
            {
                return Ok(());
            }
        }
        let (content, xattrs) = self.view.open_file_with_xattrs(entry)?;
        let attributes = self.changed(entry, xattrs);
        Ok(self.writer.file(place, &content, &attributes)?)
    }

    /// What an entry of the source has at its destination.
    fn attributes(&self, entry: &Entry) -> Result<Attributes, CopyError> {
        Ok(self.changed(entry, self.view.xattrs(entry)?))
    }

    fn changed(&self, entry: &Entry, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Attributes {
        let mut attributes = Attributes::of(&entry.meta, xattrs);
        attributes.xattrs.retain(|(name, _)| is_kept(name));
        if let Some((uid, gid)) = self.options.owner {
            (attributes.uid, attributes.gid) = (uid, gid);
        }
        if let (Some(chmod), false) = (self.options.chmod, entry.meta.is_symlink()) {
            attributes.mode = chmod.apply(attributes.mode, entry.meta.is_directory());
        }
        attributes.mtime = Some(clamped(mtime(entry), self.options.clamp));
        attributes
    }

    fn made_on_the_way(&self, time: Option<Time>) -> Attributes {
        made_on_the_way(self.options, time)
    }
}

/// What directories have that are made because the destination needs them.
pub(crate) fn made_on_the_way(options: &TransferOptions<'_>, time: Option<Time>) -> Attributes {
    let (uid, gid) = options.owner.unwrap_or((0, 0));
    Attributes {
        mode: options
            .chmod
            .and_then(Chmod::for_parents)
            .unwrap_or(DIRECTORY_MODE),
        uid,
        gid,
        mtime: time.map(|time| clamped(time, options.clamp)),
        xattrs: Vec::new(),
    }
}

/// Where a selected entry goes: the destination, or a name in it.
fn target(
    writer: &TreeWriter,
    destination: &[u8],
    top: &Entry,
    name: &[u8],
) -> Result<Vec<u8>, CopyError> {
    place(writer, destination, top.meta.is_directory(), name)
}

/// The real path at which something called `name` goes.
pub(crate) fn place(
    writer: &TreeWriter,
    destination: &[u8],
    is_directory: bool,
    name: &[u8],
) -> Result<Vec<u8>, CopyError> {
    let found = writer.resolve(destination, Follow::All)?;
    let exists_as_directory = found
        .existing
        .is_some_and(|existing| existing.meta.is_directory());
    let is_container = exists_as_directory || destination.ends_with(b"/");
    Ok(if !is_directory && is_container {
        path::join(&found.path, name)
    } else {
        found.path
    })
}

/// Attributes that mean something in an image: the user's own and file capabilities. Labels of the machine's own
/// security modules do not.
fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

fn mtime(entry: &Entry) -> Time {
    (entry.meta.mtime, entry.meta.mtime_nsec)
}

pub(super) fn clamped(time: Time, clamp: Option<i64>) -> Time {
    match clamp {
        Some(latest) if time >= (latest, 0) => (latest, 0),
        _ => time,
    }
}

fn shown(place: &[u8]) -> String {
    format!("/{}", path::display(place).trim_start_matches('/'))
}
