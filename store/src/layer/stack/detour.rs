//! Unpacking a layer again for a stack in which some of its directories are links.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, statat};

use super::fixup::take_over;
use crate::layer::{LayerError, LayerRecord, Result};
use crate::tree::metadata::Metadata;
use crate::tree::owner::{Owners, Reach};
use crate::tree::{Attributes, TreeWriter, beneath, path, xattr};
use crate::view::{Entry, Follow, Place};
use crate::{OverlayXattrs, Store, View};

/// Fills a tree with what the layer means above `below`.
pub(super) fn rebuild(
    store: &Store,
    record: &LayerRecord,
    below: &View,
    mut writer: TreeWriter,
) -> Result<()> {
    let family = store.options().overlay_xattrs;
    let layer = View::open(&[store.layer_files(&record.diff_id)], family);
    let implied: HashSet<&[u8]> = record
        .implied
        .iter()
        .map(|path| path.0.as_slice())
        .collect();
    let root = if implied.contains(&b""[..]) {
        below
    } else {
        &layer
    };
    let entry = root.root()?;
    let attributes = Attributes::of(&entry.meta, root.xattrs(&entry)?);
    writer.set_directory(b"", &attributes)?;
    let held = layer.open_in(0, b"", beneath::DIRECTORY)?;
    let mut detour = Detour {
        layer: &layer,
        implied,
        family,
        owners: store.owners(&held)?,
        writer,
    };
    detour.directory(&held, b"", b"")?;
    detour.writer.finish()
}

struct Detour<'a> {
    layer: &'a View,
    implied: HashSet<&'a [u8]>,
    family: OverlayXattrs,
    owners: Owners,
    writer: TreeWriter,
}

impl Detour<'_> {
    /// Takes over what a directory of the layer holds; `place` is where it goes.
    fn directory(&mut self, held: &OwnedFd, from: &[u8], place: &[u8]) -> Result<()> {
        let names = beneath::names(held).map_err(|error| LayerError::entry("read", from, error))?;
        for name in names {
            let path = path::join(from, &name);
            let place = path::join(place, &name);
            let stat = statat(held, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| LayerError::entry("examine", &path, error))?;
            let meta = self
                .owners
                .correct(Metadata::from(&stat), Reach::Name(held.as_fd(), &name))
                .map_err(|error| LayerError::entry("examine", &path, error))?;
            if meta.is_whiteout() {
                self.writer.remove(&place)?;
            } else if meta.is_directory() {
                let inner = beneath::open(held, &name, beneath::DIRECTORY)
                    .map_err(|error| LayerError::entry("open", &path, error))?;
                self.subdirectory(&inner, &path, &place, &meta)?;
            } else {
                let entry = Entry {
                    path,
                    meta,
                    place: Place::One(0),
                };
                take_over(&mut self.writer, &place, self.layer, &entry)?;
            }
        }
        Ok(())
    }

    fn subdirectory(
        &mut self,
        held: &OwnedFd,
        path: &[u8],
        place: &[u8],
        meta: &Metadata,
    ) -> Result<()> {
        let failed = |error| LayerError::entry("read the attributes of", path, error);
        let xattrs = xattr::for_export(xattr::of_open(held).map_err(failed)?);
        let is_opaque = xattr::is_opaque(held, self.family).map_err(failed)?;
        let attributes = Attributes::of(meta, xattrs);
        let is_implied = self.implied.contains(path);
        let follow = if is_implied {
            Follow::All
        } else {
            Follow::Parents
        };
        let destination = self.writer.resolve(place, follow)?;
        let place = destination.path;
        match destination.existing {
            Some(entry) if entry.meta.is_directory() && is_implied => {}
            Some(entry) if entry.meta.is_directory() => {
                self.writer.set_directory(&place, &attributes)?
            }
            Some(_) => self.writer.replace_with_directory(&place, &attributes)?,
            None => {
                self.writer
                    .ensure_directory(&place, &attributes, &attributes)?;
            }
        }
        if is_opaque {
            self.writer.make_opaque(&place)?;
        }
        self.directory(held, path, &place)
    }
}
