//! Records: the attributes in which the owners of files and directories are written down.

use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fremovexattr, fsetxattr};
use rustix::io::{Errno, Result};

use super::Reach;
use crate::tree::metadata::Kind;
use crate::tree::xattr;

/// The attribute with an owner.
pub const OWNER: &str = "user.kiln.owner";
/// The attribute with file capabilities that the kernel would not take.
const CAPABILITY: &str = "user.kiln.capability";
/// Attributes of ours start like this; images have none.
const PREFIX: &[u8] = b"user.kiln.";
/// Longer than any record: two ids and a mode.
const RECORD_LIMIT: usize = 32;

/// What is written down of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnerRecord {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The mode that is meant, as long as the file has the one that stands for it.
    pub mode: Option<u32>,
}

impl OwnerRecord {
    /// The mode that stands for another one on disk.
    #[must_use]
    pub fn mode_on_disk(is_directory: bool, mode: u32) -> u32 {
        usable(
            if is_directory {
                Kind::Directory
            } else {
                Kind::File
            },
            mode,
        )
    }

    pub(super) fn new(uid: u32, gid: u32) -> Self {
        let mode = None;
        Self { uid, gid, mode }
    }

    /// Reads the value of the attribute.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut fields = text.split(':');
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mode = match fields.next() {
            Some(mode) => Some(u32::from_str_radix(mode, 8).ok()?),
            None => None,
        };
        Some(Self { uid, gid, mode })
    }

    /// The value of the attribute.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { uid, gid, .. } = self;
        match self.mode {
            Some(mode) => format!("{uid}:{gid}:{mode:o}"),
            None => format!("{uid}:{gid}"),
        }
    }
}

/// What is recorded of a file or directory. A record that makes no sense counts as none: a container may write what it likes, and
/// it is about its own files alone.
pub(super) fn read(entry: Reach<'_>) -> Result<Option<OwnerRecord>> {
    let mut value = [0; RECORD_LIMIT];
    match entry.get(OWNER, &mut value) {
        Ok(length) => Ok(OwnerRecord::parse(&value[..length])),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE | Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes down whose an open file or directory is.
pub fn record_owner(file: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    let record = OwnerRecord::new(uid, gid);
    fsetxattr(file, OWNER, record.text().as_bytes(), XattrFlags::empty())
}

/// What is recorded of an open file or directory, whatever store it is in.
pub fn record_of(file: impl AsFd) -> Result<Option<OwnerRecord>> {
    read(Reach::Open(file.as_fd()))
}

/// Writes down the owner and mode of an open file or directory. What belongs to root and has a mode to work with needs no record.
pub(crate) fn write(file: impl AsFd, kind: Kind, uid: u32, gid: u32, mode: u32) -> Result<()> {
    let mode = (usable(kind, mode) != mode).then_some(mode);
    let record = OwnerRecord { uid, gid, mode };
    if record == OwnerRecord::default() {
        return match fremovexattr(file, OWNER) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            result => result,
        };
    }
    fsetxattr(file, OWNER, record.text().as_bytes(), XattrFlags::empty())
}

/// Sets file capabilities as an attribute of ours, where the kernel lets nobody but root set them.
pub(crate) fn write_capability(file: impl AsFd, value: &[u8]) -> Result<()> {
    fsetxattr(file, CAPABILITY, value, XattrFlags::empty())
}

/// A mode with which the owner can work: reads and writes files, enters and changes directories.
pub(super) fn usable(kind: Kind, mode: u32) -> u32 {
    match kind {
        Kind::Directory => mode | 0o700,
        Kind::File => mode | 0o600,
        _ => mode,
    }
}

/// True for attributes that only kiln sets.
#[must_use]
pub fn is_ours(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Takes our attributes out of those of an entry; capabilities that are recorded take their own name again.
pub(crate) fn without_records(xattrs: &mut xattr::Xattrs) {
    if !xattrs.iter().any(|(name, _)| is_ours(name)) {
        return;
    }
    let has = xattrs.iter().any(|(name, _)| name == xattr::CAPABILITY);
    for (name, _) in xattrs.iter_mut() {
        if !has && name == CAPABILITY.as_bytes() {
            *name = xattr::CAPABILITY.to_vec();
        }
    }
    xattrs.retain(|(name, _)| !is_ours(name));
    xattrs.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_as_they_were_written() {
        for record in [
            OwnerRecord::new(0, 4_294_967_294),
            OwnerRecord {
                uid: 33,
                gid: 7,
                mode: Some(0o4555),
            },
        ] {
            assert_eq!(OwnerRecord::parse(record.text().as_bytes()), Some(record));
            assert!(record.text().len() <= RECORD_LIMIT);
        }
        for nonsense in ["", "1", "1:", "a:b", "1:2:9", "-1:2"] {
            assert_eq!(OwnerRecord::parse(nonsense.as_bytes()), None, "{nonsense}");
        }
    }

    #[test]
    fn capabilities_take_their_own_name_again() {
        let mut xattrs = vec![
            (OWNER.as_bytes().to_vec(), b"1:1".to_vec()),
            (CAPABILITY.as_bytes().to_vec(), b"value".to_vec()),
            (b"user.zebra".to_vec(), vec![]),
        ];
        without_records(&mut xattrs);
        let names: Vec<_> = xattrs.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [xattr::CAPABILITY, b"user.zebra"]);
    }
}
