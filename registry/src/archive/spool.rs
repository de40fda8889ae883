//! An archive as a file that can be read at any place.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use kiln_store::layer::inflate;
use kiln_store::{LayerError, Limits};

use crate::error::{Error, Result};

/// What is read and written at once.
const BUFFER: usize = 256 << 10;

/// The first bytes of gzip and Zstandard.
const COMPRESSED: [&[u8]; 2] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd]];

/// The file itself if it is one and not compressed, else its content in a file without a name below `scratch`.
pub(super) fn seekable(name: &str, file: File, scratch: &Path) -> Result<File> {
    let failed = |source| Error::Io {
        path: name.to_owned(),
        source,
    };
    if file.metadata().map_err(failed)?.is_file() && !is_compressed(&file).map_err(failed)? {
        return Ok(file);
    }
    spool(name, file, scratch)
}

/// Writes a stream into a file without a name, uncompressed.
pub(super) fn spool(name: &str, source: impl Read, scratch: &Path) -> Result<File> {
    let spooled = tempfile::tempfile_in(scratch).map_err(|error| Error::io(scratch, error))?;
    let mut target = BufWriter::with_capacity(BUFFER, &spooled);
    let source = BufReader::with_capacity(BUFFER, source);
    inflate(source, &mut target, &Limits::default()).map_err(|error| match error {
        LayerError::Damaged { reason, .. } => {
            Error::protocol(name, format!("it cannot be read: {reason}"))
        }
        other => other.into(),
    })?;
    target.flush().map_err(|error| Error::io(scratch, error))?;
    drop(target);
    Ok(spooled)
}

fn is_compressed(file: &File) -> std::io::Result<bool> {
    let mut start = [0; 4];
    let length = file.read_at(&mut start, 0)?;
    Ok(COMPRESSED
        .iter()
        .any(|magic| start[..length].starts_with(magic)))
}

/// Whether these first bytes are those of something compressed.
pub(super) fn starts_compressed(start: &[u8]) -> bool {
    COMPRESSED.iter().any(|magic| start.starts_with(magic))
}
