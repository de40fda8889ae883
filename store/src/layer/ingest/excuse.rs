//! What may be missing from an unpacked layer.

use rustix::io::Errno;

use crate::OverlayXattrs;
use crate::layer::{LayerError, LeftOut, Result, StoredPath};
use crate::tree::path;

/// Attributes that the file system doesn't have, or that this user may not set, are left out and noted.
pub(super) fn excuse(
    path: &[u8],
    family: OverlayXattrs,
    left_out: &mut Vec<LeftOut>,
) -> impl FnMut(&[u8], Errno) -> Result<()> {
    move |attribute, error| {
        let is_user = attribute.starts_with(b"user.");
        let is_forbidden = error == Errno::PERM && (family.are_user() || !is_user);
        if error != Errno::OPNOTSUPP && !is_forbidden {
            return Err(LayerError::entry(
                "set an extended attribute of",
                path,
                error,
            ));
        }
        let what = path::display(attribute);
        left_out.push(LeftOut {
            path: StoredPath(path.to_vec()),
            what,
        });
        Ok(())
    }
}
