//! Making the tree of a layer from its archive.

use std::fs::File;
use std::io::BufRead;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ftruncate, linkat, mkdirat, mknodat, openat, statat, symlinkat,
};
use rustix::io::Errno;

use super::archive::{Archive, ArchiveEntry, EntryKind};
use super::content::write_piece;
use super::excuse::excuse;
use super::names::{Purpose, clean};
use super::places::{Made, Places};
use super::remembered::{IMPLIED_TIME, Remembered, over_limit};
use crate::OverlayXattrs;
use crate::layer::{LayerError, LeftOut, Limits, PendingLink, Result, StoredPath};
use crate::tree::attributes::{Attributes, set_mtime, set_mtime_of_open};
use crate::tree::metadata::Metadata;
use crate::tree::owner::{self, Owners};
use crate::tree::{Kind, beneath, path, remove, xattr};

/// What there is to know of an unpacked layer beside its files.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    pub entries: u64,
    pub implied: Vec<StoredPath>,
    pub hides_all: bool,
    pub links: Vec<PendingLink>,
    pub left_out: Vec<LeftOut>,
}

pub(super) struct Unpacker {
    places: Places,
    family: OverlayXattrs,
    owners: Owners,
    limits: Limits,
    /// Bytes of files so far, as unpacked.
    bytes: u64,
    entries: u64,
    remembered: Remembered,
    hides_all: bool,
    left_out: Vec<LeftOut>,
}

impl Unpacker {
    pub(super) fn new(
        root: OwnedFd,
        family: OverlayXattrs,
        owners: Owners,
        limits: Limits,
    ) -> Self {
        Self {
            owners,
            places: Places::new(root, family),
            family,
            limits,
            bytes: 0,
            entries: 0,
            remembered: Remembered::new(limits.remembered),
            hides_all: false,
            left_out: Vec::new(),
        }
    }

    /// Unpacks everything and gives the source back, read to its end.
    pub(super) fn run<R: BufRead>(mut self, source: R) -> Result<(Unpacked, R)> {
        let mut archive = Archive::new(source);
        while let Some(entry) = archive.next()? {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(over_limit(
                    &entry.path,
                    "the number of entries",
                    self.limits.entries,
                ));
            }
            let path = entry.path.clone();
            let left_out = self.left_out.len();
            self.entry(entry, &mut archive)?;
            let left_out = self.left_out[left_out..].iter();
            let bytes = left_out
                .map(|left| left.path.0.len() + left.what.len())
                .sum();
            self.remembered.count(&path, bytes)?;
        }
        let source = archive.finish()?;
        Ok((self.finish()?, source))
    }

    /// Times of directories come last, as every entry made in one changes it, and so does what a directory hands down.
    fn finish(mut self) -> Result<Unpacked> {
        for (path, acl) in &self.remembered.default_acls {
            let held = beneath::open(self.places.root(), path, beneath::DIRECTORY)
                .map_err(|error| LayerError::entry("open", path, error))?;
            if let Err(error) = xattr::set_on_open(&held, xattr::DEFAULT_ACL, acl) {
                excuse(path, self.family, &mut self.left_out)(xattr::DEFAULT_ACL, error)?;
            }
        }
        for (path, time) in &self.remembered.times {
            let held = beneath::open(self.places.root(), path, beneath::DIRECTORY)
                .map_err(|error| LayerError::entry("open", path, error))?;
            set_mtime_of_open(&held, *time, path)?;
        }
        let link = |(path, target)| PendingLink {
            path: StoredPath(path),
            target: StoredPath(target),
        };
        Ok(Unpacked {
            entries: self.entries,
            implied: self
                .remembered
                .implied
                .into_iter()
                .map(StoredPath)
                .collect(),
            hides_all: self.hides_all,
            links: self.remembered.links.into_iter().map(link).collect(),
            left_out: self.left_out,
        })
    }

    fn entry<R: BufRead>(&mut self, entry: ArchiveEntry, archive: &mut Archive<R>) -> Result<()> {
        let name = clean(&entry.path, self.limits.depth)?;
        if let Some((attribute, _)) = entry
            .xattrs
            .iter()
            .find(|(attribute, _)| xattr::is_overlay(attribute))
        {
            let reason = format!(
                "it carries `{}`, which only overlayfs may set",
                path::display(attribute)
            );
            return Err(LayerError::refused(&entry.path, reason));
        }
        let (directory, last) = path::split(&name.path);
        let (directory, last) = (directory.to_vec(), last.to_vec());
        match name.purpose {
            Purpose::Ignored => Ok(()),
            Purpose::Opaque => self.opaque(&entry.path, &directory),
            Purpose::Whiteout => self.whiteout(&entry.path, &directory, &last),
            Purpose::Entry if name.path.is_empty() => self.root(&entry),
            Purpose::Entry => {
                let directory = self.open(&entry.path, &directory)?;
                let place = Place {
                    path: path::join(&directory, &last),
                    name: last,
                };
                self.node(entry, &place, archive)
            }
        }
    }

    fn node<R: BufRead>(
        &mut self,
        entry: ArchiveEntry,
        place: &Place,
        archive: &mut Archive<R>,
    ) -> Result<()> {
        let kind = match entry.kind {
            EntryKind::HardLink => return self.hard_link(&entry, place),
            EntryKind::Node(kind) => kind,
        };
        match kind {
            Kind::Directory => self.directory(&entry, place),
            Kind::File => self.file(&entry, place, archive),
            Kind::Symlink if entry.link.is_empty() || entry.link.len() > path::MAX_PATH => Err(
                LayerError::refused(&entry.path, "its link target is empty or too long"),
            ),
            Kind::Symlink => {
                self.make(place, |directory, name| {
                    symlinkat(entry.link.as_slice(), directory, name)
                })?;
                self.dress(&entry, place, kind)
            }
            _ => self.device(&entry, place, kind),
        }
    }

    /// Goes to a directory and notes those that had to be made for it.
    fn open(&mut self, entry: &[u8], directory: &[u8]) -> Result<Vec<u8>> {
        let mut made = Vec::new();
        let real = self.places.open(entry, directory, &mut made)?;
        for Made { path, is_fresh } in made {
            self.remembered.count(entry, 2 * path.len())?;
            self.remembered.times.insert(path.clone(), IMPLIED_TIME);
            self.remembered.links.remove(&path);
            if !is_fresh {
                self.remembered.implied.insert(path);
            }
        }
        Ok(real)
    }

    fn root(&mut self, entry: &ArchiveEntry) -> Result<()> {
        if entry.kind != EntryKind::Node(Kind::Directory) {
            return Err(LayerError::refused(
                &entry.path,
                "the root can only be a directory",
            ));
        }
        let mut attributes = attributes(entry);
        if let Some(acl) = attributes.take_default_acl() {
            self.remembered.default_acls.insert(Vec::new(), acl);
        }
        let mut refused = excuse(b"", self.family, &mut self.left_out);
        attributes.set_on_open(&self.owners, self.places.root(), b"", &mut refused)?;
        self.remembered.implied.remove(&b""[..]);
        self.remembered.times.insert(Vec::new(), entry.mtime);
        Ok(())
    }

    fn directory(&mut self, entry: &ArchiveEntry, place: &Place) -> Result<()> {
        let failed = |error| LayerError::entry("create", &place.path, error);
        let mut hides = false;
        loop {
            match mkdirat(self.places.here(), place.name.as_slice(), Mode::RWXU) {
                Ok(()) => break,
                Err(Errno::EXIST) => match self.found(place)? {
                    Some(meta) if meta.is_directory() => break,
                    Some(meta) => {
                        hides |= meta.is_whiteout();
                        self.clear(place)?;
                    }
                    None => {}
                },
                Err(error) => return Err(failed(error)),
            }
        }
        let held =
            beneath::open(self.places.here(), &place.name, beneath::DIRECTORY).map_err(failed)?;
        let mut attributes = attributes(entry);
        self.remembered.count(&entry.path, place.path.len())?;
        if let Some(acl) = attributes.take_default_acl() {
            self.remembered
                .count(&entry.path, place.path.len() + acl.len())?;
            self.remembered.default_acls.insert(place.path.clone(), acl);
        }
        attributes.set_on_open(
            &self.owners,
            &held,
            &place.path,
            &mut excuse(&place.path, self.family, &mut self.left_out),
        )?;
        if hides {
            xattr::set_opaque(&held, self.family).map_err(failed)?;
        }
        self.remembered.implied.remove(&place.path);
        self.remembered.links.remove(&place.path);
        self.remembered
            .times
            .insert(place.path.clone(), entry.mtime);
        self.places.enter(place.path.clone(), held);
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        entry: &ArchiveEntry,
        place: &Place,
        archive: &mut Archive<R>,
    ) -> Result<()> {
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.bytes > self.limits.bytes {
            return Err(over_limit(
                &entry.path,
                "the size of its files",
                self.limits.bytes,
            ));
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self.make(place, |directory, name| {
            openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut file = File::from(made);
        match &entry.segments {
            None => write_piece(archive, &mut file, 0, entry.size, &place.path)?,
            Some(segments) => {
                for &(offset, length) in segments {
                    write_piece(archive, &mut file, offset, length, &place.path)?;
                }
                ftruncate(&file, entry.size)
                    .map_err(|error| LayerError::entry("write", &place.path, error))?;
            }
        }
        let file = OwnedFd::from(file);
        let mut refused = excuse(&place.path, self.family, &mut self.left_out);
        attributes(entry).set_on_open(&self.owners, &file, &place.path, &mut refused)?;
        set_mtime_of_open(&file, entry.mtime, &place.path)
    }

    fn device(&mut self, entry: &ArchiveEntry, place: &Place, kind: Kind) -> Result<()> {
        let file_type = match kind {
            Kind::CharacterDevice if entry.rdev == 0 => {
                return Err(LayerError::refused(
                    &entry.path,
                    "a device 0:0 would read as a deletion",
                ));
            }
            Kind::CharacterDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        if self.family.are_user() && file_type != FileType::Fifo {
            // Users may not make devices, and containers get their own /dev.
            self.clear(place)?;
            let path = StoredPath(place.path.clone());
            self.left_out.push(LeftOut {
                path,
                what: "device".to_owned(),
            });
            return Ok(());
        }
        self.make(place, |directory, name| {
            mknodat(
                directory,
                name,
                file_type,
                Mode::RUSR | Mode::WUSR,
                entry.rdev,
            )
        })?;
        self.dress(entry, place, kind)
    }

    fn hard_link(&mut self, entry: &ArchiveEntry, place: &Place) -> Result<()> {
        let target = clean(&entry.link, self.limits.depth).map_err(|_| {
            LayerError::refused(&entry.path, "its link target lies outside the layer")
        })?;
        if target.purpose != Purpose::Entry || target.path.is_empty() {
            return Err(LayerError::refused(
                &entry.path,
                "its link target cannot be linked to",
            ));
        }
        if target.path == place.path {
            return Ok(());
        }
        let (directory, name) = path::split(&target.path);
        let held = beneath::open(self.places.root(), directory, beneath::DIRECTORY);
        let found = held.ok().and_then(|held| {
            let stat = statat(&held, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((held, Metadata::from(&stat)))
        });
        match found {
            Some((_, meta)) if meta.is_directory() => Err(LayerError::refused(
                &entry.path,
                "its link target is a directory",
            )),
            Some((held, meta)) if !meta.is_whiteout() => self.make(place, |directory, new| {
                linkat(&held, name, directory, new, AtFlags::empty())
            }),
            // In a lower layer, then; or nowhere, which shows when the layer is stacked.
            _ => {
                self.clear(place)?;
                let target = self
                    .remembered
                    .links
                    .get(&target.path)
                    .cloned()
                    .unwrap_or(target.path);
                self.remembered
                    .count(&entry.path, place.path.len() + target.len())?;
                self.remembered.links.insert(place.path.clone(), target);
                Ok(())
            }
        }
    }

    fn opaque(&mut self, entry: &[u8], directory: &[u8]) -> Result<()> {
        if self.open(entry, directory)?.is_empty() {
            self.hides_all = true;
            return Ok(());
        }
        xattr::set_opaque(self.places.here(), self.family)
            .map_err(|error| LayerError::entry("make opaque", directory, error))
    }

    /// Deletions concern lower layers only: what this archive itself has under the name stays.
    fn whiteout(&mut self, entry: &[u8], directory: &[u8], name: &[u8]) -> Result<()> {
        let directory = self.open(entry, directory)?;
        let place = Place {
            path: path::join(&directory, name),
            name: name.to_vec(),
        };
        match self.found(&place)? {
            Some(meta) if meta.is_directory() => {
                self.remembered.implied.remove(&place.path);
                beneath::open(self.places.here(), name, beneath::DIRECTORY)
                    .and_then(|held| xattr::set_opaque(held, self.family))
                    .map_err(|error| LayerError::entry("make opaque", &place.path, error))
            }
            Some(_) => Ok(()),
            None if self.remembered.links.contains_key(&place.path) => Ok(()),
            None => mknodat(
                self.places.here(),
                name,
                FileType::CharacterDevice,
                Mode::empty(),
                0,
            )
            .map_err(|error| LayerError::entry("make a whiteout for", &place.path, error)),
        }
    }

    /// Runs a call that makes a name; of two entries of the same name, the later stays.
    fn make<T>(
        &mut self,
        place: &Place,
        create: impl Fn(&OwnedFd, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let result = match create(self.places.here(), &place.name) {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                create(self.places.here(), &place.name)
            }
            result => result,
        };
        self.remembered.links.remove(&place.path);
        result.map_err(|error| LayerError::entry("create", &place.path, error))
    }

    /// Owner, mode, attributes and time of what can't be opened.
    fn dress(&mut self, entry: &ArchiveEntry, place: &Place, kind: Kind) -> Result<()> {
        let mut refused = excuse(&place.path, self.family, &mut self.left_out);
        let attributes = attributes(entry);
        attributes.set_on_name(
            &self.owners,
            self.places.here(),
            &place.name,
            kind,
            &place.path,
            &mut refused,
        )?;
        set_mtime(self.places.here(), &place.name, entry.mtime, &place.path)
    }

    fn found(&self, place: &Place) -> Result<Option<Metadata>> {
        match statat(
            self.places.here(),
            place.name.as_slice(),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Ok(stat) => Ok(Some(Metadata::from(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(LayerError::entry("examine", &place.path, error)),
        }
    }

    /// Removes an earlier entry of the same name, with all below it.
    fn clear(&mut self, place: &Place) -> Result<()> {
        let was_directory = self.found(place)?.is_some_and(|meta| meta.is_directory());
        remove::remove(self.places.here(), &place.name)
            .map_err(|error| LayerError::entry("replace", &place.path, error))?;
        self.remembered.links.remove(&place.path);
        if was_directory {
            self.places.forget(&place.path);
            self.remembered.forget_below(&place.path);
        }
        Ok(())
    }
}

/// Where an entry goes: a name in the directory that is open, and its whole path.
struct Place {
    path: Vec<u8>,
    name: Vec<u8>,
}

fn attributes(entry: &ArchiveEntry) -> Attributes {
    Attributes {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: Some(entry.mtime),
        xattrs: entry
            .xattrs
            .iter()
            .filter(|(name, _)| !owner::is_ours(name))
            .cloned()
            .collect(),
    }
}
