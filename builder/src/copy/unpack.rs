//! `ADD` of local archives: a file that is a tar, compressed or not, is unpacked to its destination.
//!
//! The destination is always a directory. Links in the image are followed inside it, links of the archive as they are
//! met. Owners and modes are the archive's, unless `--chown` says otherwise; `--chmod` and `--exclude` do not apply.

use std::io::Read;

use kiln_store::tree::{Attributes, Kind, TreeWriter, path};
use kiln_store::view::Follow;
use tar::EntryType;

use super::select::{Selected, SourceTree};
use super::transfer::{TransferOptions, clamped, made_on_the_way};
use super::{CopyError, archive};

/// The prefix of extended attributes in PAX headers.
const PAX_XATTR: &str = "SCHILY.xattr.";
/// The low bits of a device number's parts, as Linux packs them.
const MINOR_LOW: u64 = 0xff;

/// Unpacks a selected file if its content is an archive; false when it is not. `chown` is the owner that was asked for.
pub(crate) fn unpack(
    writer: &mut TreeWriter,
    source: &SourceTree<'_>,
    selected: &Selected,
    chown: Option<(u32, u32)>,
    options: &TransferOptions<'_>,
) -> Result<bool, CopyError> {
    if !selected.top.meta.is_file() {
        return Ok(false);
    }
    let name = selected.top.display();
    let damaged =
        |error: std::io::Error| CopyError::Other(format!("cannot unpack `{name}`: {error}"));
    let file = source.view.open_file(&selected.top)?;
    let Some(reader) = archive::open(file).map_err(damaged)? else {
        return Ok(false);
    };
    let base = writer.resolve(options.destination, Follow::All)?.path;
    let mtime = (selected.top.meta.mtime, selected.top.meta.mtime_nsec);
    let made = Attributes {
        mode: 0o755,
        ..made_on_the_way(options, Some(mtime))
    };
    writer.ensure_directory(&base, &made, &made)?;
    let mut unpacking = Unpacking {
        writer,
        base,
        made,
        chown,
        clamp: options.clamp,
    };
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        unpacking.entry(&mut entry, &name)?;
    }
    Ok(true)
}

/// Unpacks a whole archive as a context: its files belong to root.
pub(crate) fn unpack_all(
    writer: &mut TreeWriter,
    reader: Box<dyn Read>,
    name: &str,
) -> Result<Option<i64>, CopyError> {
    let damaged =
        |error: std::io::Error| CopyError::Other(format!("cannot unpack `{name}`: {error}"));
    let mut newest = None;
    let made = Attributes {
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Some((0, 0)),
        xattrs: Vec::new(),
    };
    let mut unpacking = Unpacking {
        writer,
        base: Vec::new(),
        made,
        chown: Some((0, 0)),
        clamp: None,
    };
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let time = entry.header().mtime().ok();
        newest = newest.max(time.and_then(|time| i64::try_from(time).ok()));
        unpacking.entry(&mut entry, name)?;
    }
    Ok(newest)
}

struct Unpacking<'a> {
    writer: &'a mut TreeWriter,
    base: Vec<u8>,
    /// What directories have that the archive implies.
    made: Attributes,
    chown: Option<(u32, u32)>,
    clamp: Option<i64>,
}

impl Unpacking<'_> {
    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        archive: &str,
    ) -> Result<(), CopyError> {
        let wanted = path::normalize(&entry.path_bytes());
        let failed = |error: std::io::Error| {
            CopyError::Other(format!(
                "cannot unpack `{}` of `{archive}`: {error}",
                path::display(&wanted)
            ))
        };
        let attributes = self.attributes(entry).map_err(failed)?;
        let kind = entry.header().entry_type();
        if wanted.is_empty() {
            return if kind.is_dir() {
                Ok(self.writer.set_directory(&self.base, &attributes)?)
            } else {
                Ok(())
            };
        }
        let parent = self
            .writer
            .resolve(&path::join(&self.base, path::parent(&wanted)), Follow::All)?
            .path;
        self.writer
            .ensure_directory(&parent, &self.made, &self.made)?;
        let place = path::join(&parent, path::file_name(&wanted));
        let existing = self.writer.view().lookup(&place, Follow::Nothing)?;
        let in_the_way = existing
            .as_ref()
            .is_some_and(|existing| existing.meta.is_directory() != kind.is_dir());
        if in_the_way {
            self.writer.remove(&place)?;
        }
        match kind {
            EntryType::Directory => self.directory(&place, &attributes)?,
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                self.writer.symlink(&place, &target, &attributes)?;
            }
            EntryType::Link => self.hard_link(&place, entry, &attributes, archive)?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let (kind, rdev) = device(entry.header()).map_err(failed)?;
                self.writer.node(&place, kind, rdev, &attributes)?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.writer.file_from(&place, entry, &attributes)?;
            }
            // Headers for other programs, such as a comment with a commit: no entries of the tree.
            _ => {}
        }
        Ok(())
    }

    /// A directory that is there already gets the archive's attributes.
    fn directory(&mut self, place: &[u8], attributes: &Attributes) -> Result<(), CopyError> {
        let is_new = self
            .writer
            .ensure_directory(place, attributes, &self.made)?;
        if is_new {
            Ok(())
        } else {
            Ok(self.writer.set_directory(place, attributes)?)
        }
    }

    /// The target is named from the archive's root; it may be a file of this archive or of the image.
    fn hard_link<R: Read>(
        &mut self,
        place: &[u8],
        entry: &tar::Entry<'_, R>,
        attributes: &Attributes,
        archive: &str,
    ) -> Result<(), CopyError> {
        let target = path::normalize(&entry.link_name_bytes().unwrap_or_default());
        let found = self
            .writer
            .resolve(&path::join(&self.base, &target), Follow::Parents)?;
        let Some(existing) = found.existing else {
            let message = format!(
                "`{archive}` links to `{}`, which is not there",
                path::display(&target)
            );
            return Err(CopyError::Other(message));
        };
        if self.writer.hard_link(place, &found.path).is_ok() {
            return Ok(());
        }
        // A file that only lies below can't have another name in this layer.
        let view = self.writer.view().clone();
        let content = view.open_file(&existing)?;
        Ok(self.writer.file(place, &content, attributes)?)
    }

    fn attributes<R: Read>(&self, entry: &mut tar::Entry<'_, R>) -> std::io::Result<Attributes> {
        let mut xattrs = Vec::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions.flatten() {
                if let Some(name) = extension
                    .key()
                    .ok()
                    .and_then(|key| key.strip_prefix(PAX_XATTR))
                {
                    xattrs.push((name.as_bytes().to_vec(), extension.value_bytes().to_vec()));
                }
            }
        }
        let header = entry.header();
        let id = |id: u64| {
            u32::try_from(id).map_err(|_| std::io::Error::other("its owner is no valid id"))
        };
        let (uid, gid) = match self.chown {
            Some(owner) => owner,
            None => (id(header.uid()?)?, id(header.gid()?)?),
        };
        let seconds = i64::try_from(header.mtime()?).unwrap_or(i64::MAX);
        Ok(Attributes {
            mode: header.mode()? & 0o7777,
            uid,
            gid,
            mtime: Some(clamped((seconds, 0), self.clamp)),
            xattrs,
        })
    }
}

fn device(header: &tar::Header) -> std::io::Result<(Kind, u64)> {
    let kind = match header.entry_type() {
        EntryType::Char => Kind::CharacterDevice,
        EntryType::Block => Kind::BlockDevice,
        _ => return Ok((Kind::Fifo, 0)),
    };
    let major = u64::from(header.device_major()?.unwrap_or(0));
    let minor = u64::from(header.device_minor()?.unwrap_or(0));
    // As in gnu_dev_makedev: low 12 bits of major above the low 8 of minor, the rest of both on top.
    let packed = ((major & 0xfff) << 8)
        | (minor & MINOR_LOW)
        | ((minor & !MINOR_LOW) << 12)
        | ((major & !0xfff) << 32);
    Ok((kind, packed))
}
