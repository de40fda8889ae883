//! Walking a layer's directory and writing it down.
//!
//! When a step has just left it, it is compared with what was below: only the directory itself is walked, what lies
//! below is looked up for directories and whiteouts alone. That walk also brings the directory into the form in which it
//! will serve as a layer: marks that hide nothing are taken away and times are clamped, so that it looks the same as when
//! it is pulled on another machine. Later walks change nothing and give the same bytes again.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, OFlags, fstat, readlinkat, statat, unlinkat};

use super::unshare;
use crate::OverlayXattrs;
use crate::layer::entry::{Body, LayerEntry, WHITEOUT_PREFIX};
use crate::layer::write::LayerWriter;
use crate::layer::{LayerError, Limits, Result};
use crate::tree::attributes::{Time, set_mtime};
use crate::tree::metadata::{Kind, Metadata};
use crate::tree::owner::{Owners, Reach};
use crate::tree::xattr::Xattrs;
use crate::tree::{beneath, path, xattr};
use crate::view::{Entry, View};

/// What says which parts of the directory are in the archive.
pub(super) enum Source<'a> {
    /// The stack that the directory was written above.
    Below(&'a View),
    /// What the layer's record says: these directories are not.
    Implied(HashSet<&'a [u8]>),
}

/// The state of one walk.
pub(super) struct Differ<'a> {
    source: Source<'a>,
    family: OverlayXattrs,
    owners: Owners,
    clamp: Option<i64>,
    pub writer: LayerWriter,
    /// Directories that are there but not in the archive.
    pub implied: Vec<Vec<u8>>,
    /// The first name of each file that has several.
    first_names: HashMap<(u64, u64), FirstName>,
}

struct FirstName {
    path: Vec<u8>,
    /// Further names, kept only if their time will have to be changed.
    others: Vec<Vec<u8>>,
    seen: u64,
    meta: Metadata,
}

/// An entry of the upper directory under way.
struct Found<'a> {
    directory: &'a OwnedFd,
    name: &'a [u8],
    path: Vec<u8>,
    meta: Metadata,
}

impl<'a> Differ<'a> {
    pub(super) fn new(
        source: Source<'a>,
        family: OverlayXattrs,
        owners: Owners,
        clamp: Option<i64>,
        writer: LayerWriter,
    ) -> Self {
        Self {
            source,
            family,
            owners,
            clamp,
            writer,
            implied: Vec::new(),
            first_names: HashMap::new(),
        }
    }

    /// Walks the whole directory.
    pub(super) fn run(&mut self, upper: &OwnedFd) -> Result<()> {
        let below = match self.source {
            Source::Below(view) => Some(view.root()?),
            Source::Implied(_) => None,
        };
        let time = self.root(upper, below.as_ref())?;
        self.directory(upper, b"", below.as_ref())?;
        self.clamp_shared(upper)?;
        match self.source {
            // Last, because taking marks away changes it.
            Source::Below(_) => set_mtime(upper, b"", time, b""),
            Source::Implied(_) => Ok(()),
        }
    }

    /// The root is an entry only when its mode, owner or attributes changed; its time follows the one below.
    fn root(&mut self, upper: &OwnedFd, below: Option<&Entry>) -> Result<Time> {
        let failed = |error| LayerError::entry("examine", b"", error);
        let meta = Metadata::from(&fstat(upper).map_err(failed)?);
        let meta = self
            .meta(meta, Reach::Open(upper.as_fd()))
            .map_err(failed)?;
        let xattrs = xattr::for_export(xattr::of_open(upper).map_err(failed)?);
        let mut meta = self.clamped(meta);
        let is_implied = match (&self.source, below) {
            (Source::Below(view), Some(below)) => {
                let is_unchanged =
                    meta.same_ownership(&below.meta) && xattrs == view.xattrs(below)?;
                if is_unchanged {
                    (meta.mtime, meta.mtime_nsec) = (below.meta.mtime, below.meta.mtime_nsec);
                }
                is_unchanged
            }
            (Source::Implied(implied), _) => implied.contains(&b""[..]),
            (Source::Below(_), None) => false,
        };
        let time = (meta.mtime, meta.mtime_nsec);
        if is_implied {
            self.implied.push(Vec::new());
            return Ok(time);
        }
        self.writer
            .entry(&LayerEntry::new(b"", Body::Directory, &meta, &xattrs))?;
        Ok(time)
    }

    /// Walks what a directory holds. `below` is the directory of the same name below, if what it holds shows through.
    fn directory(&mut self, held: &OwnedFd, path: &[u8], below: Option<&Entry>) -> Result<()> {
        // Deeper ones would be refused wherever the layer is pulled; and each level takes stack and a descriptor.
        if path::components(path).count() >= Limits::default().depth {
            let reason = "holds more, deeper than layers may be";
            return Err(LayerError::unfit(path, reason));
        }
        let names = beneath::names(held).map_err(|error| LayerError::entry("read", path, error))?;
        for name in names {
            let path = path::join(path, &name);
            let stat = statat(held, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| LayerError::entry("examine", &path, error))?;
            let meta = Metadata::from(&stat);
            let meta = self
                .meta(meta, Reach::Name(held.as_fd(), &name))
                .map_err(|error| LayerError::entry("examine", &path, error))?;
            if name.starts_with(WHITEOUT_PREFIX) {
                return Err(LayerError::unfit(
                    &path,
                    "names that start with `.wh.` are reserved by the layer format",
                ));
            }
            let found = Found {
                directory: held,
                name: &name,
                path,
                meta,
            };
            self.entry(&found, below)?;
        }
        Ok(())
    }

    fn entry(&mut self, found: &Found<'_>, below: Option<&Entry>) -> Result<()> {
        if found.meta.is_whiteout() {
            return self.whiteout(found, below);
        }
        match found.meta.kind {
            Kind::Directory => self.subdirectory(found, below),
            // No layer format has sockets, and nothing would listen on one.
            Kind::Socket => found.remove(),
            Kind::Symlink => {
                let meta = self.link_owner(found, below)?;
                self.leaf(&found.with(meta))
            }
            _ => self.leaf(found),
        }
    }

    fn whiteout(&mut self, found: &Found<'_>, below: Option<&Entry>) -> Result<()> {
        if let Source::Below(view) = &self.source {
            let hides = match below {
                Some(below) => view.child(below, found.name)?.is_some(),
                None => false,
            };
            if !hides {
                return found.remove();
            }
        }
        self.writer
            .entry(&LayerEntry::mark(&found.path, Body::Whiteout))
    }

    fn subdirectory(&mut self, found: &Found<'_>, below: Option<&Entry>) -> Result<()> {
        let path = found.path.as_slice();
        let failed = |error| LayerError::entry("open", path, error);
        let held =
            beneath::open(found.directory, found.name, beneath::DIRECTORY).map_err(failed)?;
        let all = xattr::of_open(&held).map_err(failed)?;
        refuse_redirects(path, &all)?;
        let mut is_opaque = xattr::is_opaque(&held, self.family).map_err(failed)?;
        let xattrs = xattr::for_export(all);
        let same_name = match (&self.source, below) {
            (Source::Below(view), Some(below)) => view
                .child(below, found.name)?
                .filter(|entry| entry.meta.is_directory()),
            _ => None,
        };
        if is_opaque && same_name.is_none() && matches!(self.source, Source::Below(_)) {
            xattr::clear_opaque(&held, self.family).map_err(failed)?;
            is_opaque = false;
        }
        let is_implied = self.is_implied(found, same_name.as_ref(), &xattrs)?;
        let meta = match is_implied {
            true => {
                self.implied.push(path.to_vec());
                found.meta
            }
            false => {
                let meta = self.clamped(found.meta);
                self.writer
                    .entry(&LayerEntry::new(path, Body::Directory, &meta, &xattrs))?;
                meta
            }
        };
        if is_opaque {
            self.writer.entry(&LayerEntry::mark(path, Body::Opaque))?;
        }
        self.directory(
            &held,
            path,
            if is_opaque { None } else { same_name.as_ref() },
        )?;
        if is_implied && !is_opaque && self.take_away_if_empty(found, &held)? {
            return Ok(());
        }
        match self.source {
            // Last, because taking marks away changes it.
            Source::Below(_) => set_mtime(
                found.directory,
                found.name,
                (meta.mtime, meta.mtime_nsec),
                path,
            ),
            Source::Implied(_) => Ok(()),
        }
    }

    /// Removes a directory that is only there to hold what is in it, if that is nothing: the archive does not tell of it, so
    /// the layer must not have it either.
    fn take_away_if_empty(&mut self, found: &Found<'_>, held: &OwnedFd) -> Result<bool> {
        let failed = |what| move |error| LayerError::entry(what, &found.path, error);
        if matches!(self.source, Source::Implied(_))
            || !beneath::names(held).map_err(failed("read"))?.is_empty()
        {
            return Ok(false);
        }
        unlinkat(found.directory, found.name, AtFlags::REMOVEDIR).map_err(failed("remove"))?;
        self.implied.retain(|path| *path != found.path);
        Ok(true)
    }

    /// True for a directory that is only there to hold what is in it: copied up, but as it is below.
    fn is_implied(
        &self,
        found: &Found<'_>,
        same_name: Option<&Entry>,
        xattrs: &Xattrs,
    ) -> Result<bool> {
        match (&self.source, same_name) {
            (Source::Implied(implied), _) => Ok(implied.contains(found.path.as_slice())),
            (Source::Below(view), Some(below)) => Ok(found.meta.same_ownership(&below.meta)
                && found.meta.same_mtime(&below.meta)
                && *xattrs == view.xattrs(below)?),
            (Source::Below(_), None) => Ok(false),
        }
    }

    /// A link that overlay copied up is a new one, of which nothing is recorded: it belongs to whom it belonged below.
    fn link_owner(&self, found: &Found<'_>, below: Option<&Entry>) -> Result<Metadata> {
        let (Source::Below(view), Owners::Recorded(_), Some(below), (0, 0)) = (
            &self.source,
            &self.owners,
            below,
            (found.meta.uid, found.meta.gid),
        ) else {
            return Ok(found.meta);
        };
        let Some(old) = view
            .child(below, found.name)?
            .filter(|old| old.meta.is_symlink() && old.meta.same_mtime(&found.meta))
        else {
            return Ok(found.meta);
        };
        let (uid, gid) = (old.meta.uid, old.meta.gid);
        self.owners
            .note(Reach::Name(found.directory.as_fd(), found.name), uid, gid)
            .map_err(|error| LayerError::entry("record the owner of", &found.path, error))?;
        Ok(Metadata {
            uid,
            gid,
            ..found.meta
        })
    }

    /// Everything but directories and whiteouts.
    fn leaf(&mut self, found: &Found<'_>) -> Result<()> {
        let path = found.path.as_slice();
        let meta = self.clamped(found.meta);
        if found.meta.nlink > 1 {
            match self.first_names.get_mut(&(found.meta.dev, found.meta.ino)) {
                Some(first) => {
                    first.seen += 1;
                    if !meta.same_mtime(&found.meta) {
                        first.others.push(found.path.clone());
                    }
                    let entry = LayerEntry::new(
                        path,
                        Body::HardLink(&first.path),
                        &meta,
                        const { &Vec::new() },
                    );
                    return self.writer.entry(&entry);
                }
                None => {
                    let path = found.path.clone();
                    let first = FirstName {
                        path,
                        others: Vec::new(),
                        seen: 1,
                        meta: found.meta,
                    };
                    self.first_names
                        .insert((found.meta.dev, found.meta.ino), first);
                }
            }
        } else if !meta.same_mtime(&found.meta) {
            set_mtime(
                found.directory,
                found.name,
                (meta.mtime, meta.mtime_nsec),
                path,
            )?;
        }
        if meta.is_file() {
            return self.file(found, &meta);
        }
        let xattrs = xattr::for_export(found.xattrs()?);
        let target;
        let body = match meta.kind {
            Kind::Symlink => {
                target = readlinkat(found.directory, found.name, Vec::new())
                    .map_err(|error| LayerError::entry("read the link", path, error))?;
                Body::Symlink(target.as_bytes())
            }
            Kind::CharacterDevice => Body::CharacterDevice(meta.rdev),
            Kind::BlockDevice => Body::BlockDevice(meta.rdev),
            _ => Body::Fifo,
        };
        self.writer
            .entry(&LayerEntry::new(path, body, &meta, &xattrs))
    }

    fn file(&mut self, found: &Found<'_>, meta: &Metadata) -> Result<()> {
        let path = found.path.as_slice();
        let failed = |error| LayerError::entry("open", path, error);
        let file = beneath::open(
            found.directory,
            found.name,
            OFlags::RDONLY | OFlags::NONBLOCK,
        )
        .map_err(failed)?;
        let all = xattr::of_open(&file).map_err(failed)?;
        refuse_redirects(path, &all)?;
        let xattrs = xattr::for_export(all);
        let entry = LayerEntry::new(path, Body::File(meta.size), meta, &xattrs);
        self.writer.file(&entry, meta, &mut File::from(file))
    }

    /// What an entry is in the image. What a step has left in a state in which its owner cannot work with it gets a mode in which
    /// it can, and a record of the one that is meant.
    fn meta(&self, found: Metadata, entry: Reach<'_>) -> rustix::io::Result<Metadata> {
        let meta = self.owners.correct(found, entry)?;
        if matches!(self.source, Source::Below(_)) {
            self.owners.make_usable(&meta, found.mode, entry)?;
        }
        Ok(meta)
    }

    fn clamped(&self, mut meta: Metadata) -> Metadata {
        if let Some(latest) = self.clamp
            && (meta.mtime, meta.mtime_nsec) > (latest, 0)
        {
            (meta.mtime, meta.mtime_nsec) = (latest, 0);
        }
        meta
    }

    /// Clamps files of several names, now that all their names in this layer are known. A file that also has names in
    /// other layers is copied first, because those must keep its time.
    fn clamp_shared(&mut self, upper: &OwnedFd) -> Result<()> {
        for first in std::mem::take(&mut self.first_names).into_values() {
            let clamped = self.clamped(first.meta);
            if clamped.same_mtime(&first.meta) {
                continue;
            }
            let time = (clamped.mtime, clamped.mtime_nsec);
            if first.meta.is_file() && first.seen < first.meta.nlink {
                unshare::copy(upper, &self.owners, &first.path, &first.others, time)?;
                continue;
            }
            let (directory, name) = path::split(&first.path);
            let held = beneath::open(upper, directory, OFlags::PATH | OFlags::DIRECTORY)
                .map_err(|error| LayerError::entry("open", directory, error))?;
            set_mtime(&held, name, time, &first.path)?;
        }
        Ok(())
    }
}

impl Found<'_> {
    fn with(&self, meta: Metadata) -> Self {
        Self {
            path: self.path.clone(),
            meta,
            ..*self
        }
    }

    fn remove(&self) -> Result<()> {
        unlinkat(self.directory, self.name, AtFlags::empty())
            .map_err(|error| LayerError::entry("remove", &self.path, error))
    }

    fn xattrs(&self) -> Result<Xattrs> {
        xattr::of_name(self.directory, self.name)
            .map_err(|error| LayerError::entry("read the attributes of", &self.path, error))
    }
}

/// Directories moved and files copied up without their data make sense only beside the layers they came from; kiln's
/// mounts never make them.
fn refuse_redirects(path: &[u8], xattrs: &Xattrs) -> Result<()> {
    let is_foreign =
        |name: &[u8]| name.ends_with(b".overlay.redirect") || name.ends_with(b".overlay.metacopy");
    if xattrs
        .iter()
        .any(|(name, _)| is_foreign(name) && xattr::is_overlay(name))
    {
        return Err(LayerError::unfit(
            path,
            "was written through an overlay mount with redirect_dir or metacopy",
        ));
    }
    Ok(())
}
