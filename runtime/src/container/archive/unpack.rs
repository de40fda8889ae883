//! From an archive to a tree.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kiln_store::tree::record_owner;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat,
    fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::EntryType;

use super::super::error::{Context, Error, Result};
use super::pack::text;
use super::resolve;

/// Who owns what is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whom the archive names.
    Archive,
    /// This user and group.
    Fixed(u32, u32),
    /// Whoever unpacks.
    Caller,
}

/// How to unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackOptions {
    /// Who owns it.
    pub owner: Owner,
    /// Unpacks device nodes too, and keeps set-user-id and set-group-id bits.
    pub privileged: bool,
    /// Gives the directory itself the attributes of the archive's root.
    pub of_root: bool,
}

/// Mode of directories that an archive names only as part of a path.
const IMPLIED: u32 = 0o755;
/// The set-user-id and set-group-id bits.
const SET_ID: u32 = 0o6000;

/// Unpacks an archive into the directory `base` of the tree `root`. Links on the way to an entry lead where they lead for a
/// process of that tree. A directory is merged with one that is there; anything else takes the place of what is there, but
/// a file never that of a directory, nor the other way round. Returns the bytes of all files.
pub fn unpack(
    root: BorrowedFd<'_>,
    base: &[u8],
    archive: &mut dyn Read,
    options: UnpackOptions,
) -> Result<u64> {
    let mut unpacker = Unpacker {
        root,
        base,
        options,
        directories: Vec::new(),
        bytes: 0,
    };
    let mut archive = tar::Archive::new(archive);
    let describe = || "reading the archive".to_owned();
    for entry in archive.entries().context(describe)? {
        unpacker.entry(&mut entry.context(describe)?)?;
    }
    unpacker.finish()?;
    Ok(unpacker.bytes)
}

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    base: &'a [u8],
    options: UnpackOptions,
    /// Directories whose mode and time are set when nothing is put into them any more.
    directories: Vec<(OwnedFd, u32, Timestamps)>,
    bytes: u64,
}

/// Where an entry goes.
struct Place {
    parent: OwnedFd,
    name: Vec<u8>,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &mut tar::Entry<'_, &mut dyn Read>) -> Result<()> {
        let kind = entry.header().entry_type();
        if matches!(
            kind,
            EntryType::XGlobalHeader | EntryType::XHeader | EntryType::GNULongName
        ) {
            return Ok(());
        }
        let path = plain(&entry.path_bytes())?;
        let describe = || format!("unpacking {}", text(&path));
        let Some(place) = self.place(&path)? else {
            // The root of the archive is the directory that is there.
            if self.options.of_root && kind == EntryType::Directory {
                let directory = resolve(self.root, self.base, OFlags::RDONLY | OFlags::DIRECTORY);
                let directory = directory.context(describe)?;
                return self.finish_directory(entry, directory).context(describe);
            }
            return Ok(());
        };
        self.make_room(&place, &path, kind == EntryType::Directory)?;
        match kind {
            EntryType::Directory => self.directory(entry, &place).context(describe),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, &place, describe)
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                symlinkat(target.as_slice(), &place.parent, place.name.as_slice())
                    .and_then(|()| self.own_name(entry, &place, false))
                    .context(describe)
            }
            EntryType::Link => {
                let target = plain(&entry.link_name_bytes().unwrap_or_default())?;
                let target = self
                    .place(&target)?
                    .ok_or_else(|| Error::Invalid(format!("{}: a link to nothing", text(&path))))?;
                linkat(
                    &target.parent,
                    target.name.as_slice(),
                    &place.parent,
                    place.name.as_slice(),
                    AtFlags::empty(),
                )
                .context(describe)
            }
            EntryType::Fifo => self.node(entry, &place, FileType::Fifo).context(describe),
            EntryType::Char | EntryType::Block if !self.options.privileged => {
                Err(Error::Invalid(format!(
                    "{} is a device node: it is not copied to the host",
                    text(&path)
                )))
            }
            EntryType::Char => self
                .node(entry, &place, FileType::CharacterDevice)
                .context(describe),
            EntryType::Block => self
                .node(entry, &place, FileType::BlockDevice)
                .context(describe),
            other => Err(Error::Invalid(format!(
                "{}: archive entries of type {other:?} are not known",
                text(&path)
            ))),
        }
    }

    /// The directory of an entry, made when missing, and its name there.
    fn place(&self, path: &[u8]) -> Result<Option<Place>> {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&path[..0], path),
        };
        if name.is_empty() {
            return Ok(None);
        }
        let whole = join(self.base, parent);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = match resolve(self.root, &whole, flags) {
            Err(Errno::NOENT) => self.make_parents(parent),
            other => other,
        };
        Ok(Some(Place {
            parent: parent.context(|| format!("entering {}", text(&whole)))?,
            name: name.to_vec(),
        }))
    }

    fn make_parents(&self, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut done = self.base.to_vec();
        let mut directory = resolve(self.root, &done, flags)?;
        for part in path.split(|byte| *byte == b'/') {
            done = join(&done, part);
            directory = match resolve(self.root, &done, flags) {
                Err(Errno::NOENT) => {
                    mkdirat(&directory, part, Mode::from_raw_mode(IMPLIED))?;
                    if let Owner::Fixed(uid, gid) = self.options.owner {
                        own(&directory, part, uid, gid)?;
                    }
                    resolve(self.root, &done, flags)?
                }
                other => other?,
            };
        }
        Ok(directory)
    }

    /// Takes away what is in an entry's place.
    fn make_room(&self, place: &Place, path: &[u8], directory: bool) -> Result<()> {
        let stat = match statat(
            &place.parent,
            place.name.as_slice(),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.context(|| format!("looking at {}", text(path)))?,
        };
        match (
            FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
            directory,
        ) {
            (true, true) => Ok(()),
            (true, false) => Err(Error::Invalid(format!(
                "cannot overwrite directory \"{0}\" with non-directory \"{0}\"",
                text(path)
            ))),
            (false, true) => Err(Error::Invalid(format!(
                "cannot overwrite non-directory \"{0}\" with directory \"{0}\"",
                text(path)
            ))),
            (false, false) => unlinkat(&place.parent, place.name.as_slice(), AtFlags::empty())
                .context(|| format!("replacing {}", text(path))),
        }
    }

    fn directory(
        &mut self,
        entry: &mut tar::Entry<'_, &mut dyn Read>,
        place: &Place,
    ) -> std::result::Result<(), io::Error> {
        match mkdirat(&place.parent, place.name.as_slice(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let directory = openat(
            &place.parent,
            place.name.as_slice(),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        self.finish_directory(entry, directory)
    }

    fn finish_directory(
        &mut self,
        entry: &mut tar::Entry<'_, &mut dyn Read>,
        directory: OwnedFd,
    ) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner(entry)? {
            give(&directory, uid, gid)?;
        }
        let mode = self.mode(entry)?;
        let times = times(entry)?;
        self.directories.push((directory, mode, times));
        Ok(())
    }

    fn file(
        &mut self,
        entry: &mut tar::Entry<'_, &mut dyn Read>,
        place: &Place,
        describe: impl Fn() -> String,
    ) -> Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(
            &place.parent,
            place.name.as_slice(),
            flags,
            Mode::RUSR | Mode::WUSR,
        )
        .context(&describe)?;
        let mut file = File::from(file);
        self.bytes += io::copy(entry, &mut file).context(&describe)?;
        let mut finish = || -> io::Result<()> {
            if let Some((uid, gid)) = self.owner(entry)? {
                give(&file, uid, gid)?;
            }
            fchmod(&file, Mode::from_raw_mode(self.mode(entry)?))?;
            self.set_attributes(entry, &file)?;
            Ok(futimens(&file, &times(entry)?)?)
        };
        finish().context(describe)
    }

    /// Sets what the archive says in PAX records. File systems without such attributes, and users without the right to set
    /// them, go without.
    fn set_attributes(
        &self,
        entry: &mut tar::Entry<'_, &mut dyn Read>,
        file: &File,
    ) -> io::Result<()> {
        if !self.options.privileged {
            return Ok(());
        }
        let Some(extensions) = entry.pax_extensions()? else {
            return Ok(());
        };
        for extension in extensions {
            let extension = extension?;
            let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else {
                continue;
            };
            if name == b"security.capability" || name.starts_with(b"user.") {
                match fsetxattr(
                    file,
                    name,
                    extension.value_bytes(),
                    rustix::fs::XattrFlags::empty(),
                ) {
                    Ok(()) | Err(Errno::PERM | Errno::NOTSUP) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }

    fn node(
        &self,
        entry: &mut tar::Entry<'_, &mut dyn Read>,
        place: &Place,
        kind: FileType,
    ) -> io::Result<()> {
        let header = entry.header();
        let device = match kind {
            FileType::Fifo => 0,
            _ => rustix::fs::makedev(
                header.device_major()?.unwrap_or(0),
                header.device_minor()?.unwrap_or(0),
            ),
        };
        let mode = Mode::from_raw_mode(self.mode(entry)?);
        mknodat(&place.parent, place.name.as_slice(), kind, mode, device)?;
        Ok(self.own_name(entry, place, true)?)
    }

    /// Sets owner, mode and time of an entry that can't be opened.
    fn own_name(
        &self,
        entry: &mut tar::Entry<'_, &mut dyn Read>,
        place: &Place,
        has_mode: bool,
    ) -> std::result::Result<(), Errno> {
        let invalid = |_| Errno::INVAL;
        if let Some((uid, gid)) = self.owner(entry).map_err(invalid)? {
            own(&place.parent, &place.name, uid, gid)?;
        }
        if has_mode {
            let mode = Mode::from_raw_mode(self.mode(entry).map_err(invalid)?);
            chmodat(&place.parent, place.name.as_slice(), mode, AtFlags::empty())?;
        }
        utimensat(
            &place.parent,
            place.name.as_slice(),
            &times(entry).map_err(invalid)?,
            AtFlags::SYMLINK_NOFOLLOW,
        )
    }

    fn owner(&self, entry: &mut tar::Entry<'_, &mut dyn Read>) -> io::Result<Option<(u32, u32)>> {
        let (uid, gid) = match self.options.owner {
            Owner::Caller => return Ok(None),
            Owner::Fixed(uid, gid) => return Ok(Some((uid, gid))),
            Owner::Archive => (entry.header().uid()?, entry.header().gid()?),
        };
        // Numbers that do not fit in the header stand in records.
        let mut number = |key, plain: u64| -> io::Result<u32> {
            match record(entry, key)? {
                Some(text) => text.parse().map_err(io::Error::other),
                None => u32::try_from(plain).map_err(io::Error::other),
            }
        };
        Ok(Some((number("uid", uid)?, number("gid", gid)?)))
    }

    fn mode(&self, entry: &tar::Entry<'_, &mut dyn Read>) -> io::Result<u32> {
        let mode = entry.header().mode()? & 0o7777;
        Ok(if self.options.privileged {
            mode
        } else {
            mode & !SET_ID
        })
    }

    fn finish(&mut self) -> Result<()> {
        // The deepest last: setting the time of one does not change another's.
        for (directory, mode, times) in self.directories.drain(..).rev() {
            fchmod(&directory, Mode::from_raw_mode(mode))
                .and_then(|()| futimens(&directory, &times))
                .context(|| "setting the attributes of a directory".to_owned())?;
        }
        Ok(())
    }
}

/// Gives a file or directory to somebody, or writes that down where there is nobody to give it to.
fn give(file: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    match fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
        Err(Errno::INVAL) if crate::probe::has_single_id() => Ok(record_owner(file, uid, gid)?),
        given => Ok(given?),
    }
}

fn own(parent: impl AsFd, name: &[u8], uid: u32, gid: u32) -> std::result::Result<(), Errno> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW) {
        // Links and pipes hold no record: they are root's.
        Err(Errno::INVAL) if crate::probe::has_single_id() => Ok(()),
        given => given,
    }
}

/// The modification time, with its fraction where a PAX record has one.
fn times(entry: &mut tar::Entry<'_, &mut dyn Read>) -> io::Result<Timestamps> {
    let whole = i64::try_from(entry.header().mtime()?).map_err(io::Error::other)?;
    let (tv_sec, tv_nsec) = record(entry, "mtime")?
        .as_deref()
        .and_then(instant)
        .unwrap_or((whole, 0));
    Ok(Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec { tv_sec, tv_nsec },
    })
}

/// The value of a PAX record.
fn record(entry: &mut tar::Entry<'_, &mut dyn Read>, key: &str) -> io::Result<Option<String>> {
    let mut found = None;
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            if extension.key_bytes() == key.as_bytes() {
                found = Some(String::from_utf8_lossy(extension.value_bytes()).into_owned());
            }
        }
    }
    Ok(found)
}

/// Seconds and nanoseconds of a decimal number of seconds.
fn instant(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        Some((seconds - 1, 1_000_000_000 - nanoseconds))
    } else {
        Some((seconds, nanoseconds))
    }
}

/// The name of an entry without slashes in front and behind and without dots. One that leads up is refused.
fn plain(path: &[u8]) -> Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                return Err(Error::Invalid(format!(
                    "{}: a name in the archive leads out of it",
                    text(path)
                )));
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

fn join(base: &[u8], path: &[u8]) -> Vec<u8> {
    match (base.is_empty(), path.is_empty()) {
        (_, true) => base.to_vec(),
        (true, false) => path.to_vec(),
        (false, false) => [base, b"/", path].concat(),
    }
}
