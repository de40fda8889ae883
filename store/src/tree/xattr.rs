//! Extended attributes of entries, and which of them belong to overlayfs rather than to the tree.
//!
//! Entries that can't be opened (links, devices, pipes) are reached as `/proc/self/fd/<directory>/<name>`: the
//! kernel follows our own descriptor and then one name, never a link of the tree.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, lgetxattr, llistxattr, lsetxattr,
};
use rustix::io::{Errno, Result};

use super::owner;
use crate::OverlayXattrs;

/// Extended attributes, sorted by name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The access control list that a directory gives to what is made in it.
pub(crate) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// The name that holds file capabilities.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Revision bits of `security.capability` and what a namespaced one (revision 3, with a root id) becomes.
const CAPABILITY_REVISION_2: u8 = 2;
const CAPABILITY_REVISION_3: u8 = 3;
const CAPABILITY_V3_LENGTH: usize = 24;
const CAPABILITY_V2_LENGTH: usize = 20;

/// The attribute that makes a directory opaque.
pub(crate) fn opaque_name(family: OverlayXattrs) -> &'static str {
    match family {
        OverlayXattrs::Trusted => "trusted.overlay.opaque",
        OverlayXattrs::User | OverlayXattrs::Recorded => "user.overlay.opaque",
    }
}

/// True for names that overlayfs keeps for itself, in either family.
pub(crate) fn is_overlay(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// True when the directory carries overlay's opaque mark.
pub(crate) fn is_opaque(directory: impl AsFd, family: OverlayXattrs) -> Result<bool> {
    let mut value = [0_u8; 4];
    match fgetxattr(directory, opaque_name(family), &mut value[..]) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Marks a directory opaque.
pub(crate) fn set_opaque(directory: impl AsFd, family: OverlayXattrs) -> Result<()> {
    fsetxattr(directory, opaque_name(family), b"y", XattrFlags::empty())
}

/// Takes the opaque mark off.
pub(crate) fn clear_opaque(directory: impl AsFd, family: OverlayXattrs) -> Result<()> {
    match fremovexattr(directory, opaque_name(family)) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        result => result,
    }
}

/// The attributes of an open file or directory, overlay's own included.
pub(crate) fn of_open(file: impl AsFd) -> Result<Xattrs> {
    let file = file.as_fd();
    read_all(
        |buffer| flistxattr(file, buffer),
        |name, buffer| fgetxattr(file, name, buffer),
    )
}

/// The attributes of a name in a directory; a link is not followed.
pub(crate) fn of_name(directory: impl AsFd, name: &[u8]) -> Result<Xattrs> {
    let path = through_proc(directory.as_fd(), name);
    read_all(
        |buffer| llistxattr(path.as_slice(), buffer),
        |attribute, buffer| lgetxattr(path.as_slice(), attribute, buffer),
    )
}

/// Sets an attribute of a name in a directory; a link is not followed.
pub(crate) fn set_on_name(
    directory: impl AsFd,
    name: &[u8],
    attribute: &[u8],
    value: &[u8],
) -> Result<()> {
    lsetxattr(
        through_proc(directory.as_fd(), name).as_slice(),
        attribute,
        value,
        XattrFlags::empty(),
    )
}

/// Sets an attribute of an open file or directory.
pub(crate) fn set_on_open(file: impl AsFd, attribute: &[u8], value: &[u8]) -> Result<()> {
    fsetxattr(file, attribute, value, XattrFlags::empty())
}

/// Borrows: the path is good only as long as the descriptor is open.
pub(crate) fn through_proc(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

/// Lists and reads, with room for the usual few names and a second try for more.
fn read_all(
    mut list: impl FnMut(&mut [u8]) -> Result<usize>,
    mut get: impl FnMut(&[u8], &mut [u8]) -> Result<usize>,
) -> Result<Xattrs> {
    let mut small = [0_u8; 1024];
    let mut large = Vec::new();
    let names = match list(&mut small) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => &small[..length],
        Err(Errno::RANGE) => {
            large.resize(XATTR_LIST_MAX, 0);
            let length = list(&mut large)?;
            &large[..length]
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0_u8; 256];
        let length = loop {
            match get(name, &mut value) {
                Err(Errno::RANGE) if value.len() < XATTR_SIZE_MAX => {
                    value.resize(XATTR_SIZE_MAX, 0)
                }
                result => break result,
            }
        };
        match length {
            Ok(length) => value.truncate(length),
            // Gone since it was listed, or listed without being ours to read (SELinux does so).
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            Err(error) => return Err(error),
        }
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}

/// The kernel's own limits (`include/uapi/linux/limits.h`).
const XATTR_LIST_MAX: usize = 65536;
pub(crate) const XATTR_SIZE_MAX: usize = 65536;

/// Leaves what belongs to the tree: overlay's attributes and records of ours go, namespaced capabilities become plain ones.
pub(crate) fn for_export(mut xattrs: Xattrs) -> Xattrs {
    xattrs.retain(|(name, _)| !is_overlay(name));
    owner::without_records(&mut xattrs);
    for (name, value) in &mut xattrs {
        if name == CAPABILITY
            && value.len() == CAPABILITY_V3_LENGTH
            && value[3] == CAPABILITY_REVISION_3
        {
            value[3] = CAPABILITY_REVISION_2;
            value.truncate(CAPABILITY_V2_LENGTH);
        }
    }
    xattrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_without_overlay_and_with_plain_capabilities() {
        let mut capability = vec![1, 0, 0, 3];
        capability.extend([0x20; 16]);
        capability.extend(1000_u32.to_le_bytes());
        let exported = for_export(vec![
            (CAPABILITY.to_vec(), capability),
            (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
            (b"user.a".to_vec(), b"b".to_vec()),
            (b"user.overlay.origin".to_vec(), vec![]),
        ]);
        assert_eq!(exported.len(), 2);
        assert_eq!((exported[0].1.len(), exported[0].1[3]), (20, 2));
    }
}
