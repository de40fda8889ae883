//! Writing a file's content as it comes from the archive.

use std::fs::File;
use std::io::{BufRead, Seek, SeekFrom, Write};

use rustix::fs::ftruncate;

use super::archive::Archive;
use crate::layer::{LayerError, Result};

/// Runs of zeros of this length and alignment become holes.
const HOLE: usize = 64 << 10;

/// Writes the next bytes of the archive to a place in a file. Long runs of zeros stay holes.
pub(super) fn write_piece<R: BufRead>(
    archive: &mut Archive<R>,
    file: &mut File,
    offset: u64,
    length: u64,
    path: &[u8],
) -> Result<()> {
    let failed = |error| LayerError::io("write", path, error);
    if offset > 0 {
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    }
    let mut left = length;
    let mut ends_in_hole = false;
    while left > 0 {
        let content = archive.content()?;
        let wanted = content
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX))
            .min(HOLE);
        let piece = &content[..wanted];
        ends_in_hole = piece.len() == HOLE && is_zero(piece);
        if ends_in_hole {
            file.seek(SeekFrom::Current(HOLE as i64)).map_err(failed)?;
        } else {
            file.write_all(piece).map_err(failed)?;
        }
        archive.consume(wanted);
        left -= wanted as u64;
    }
    if ends_in_hole {
        ftruncate(&*file, offset + length)
            .map_err(|error| LayerError::entry("write", path, error))?;
    }
    Ok(())
}

fn is_zero(piece: &[u8]) -> bool {
    // Most data shows in the first bytes that it is none.
    piece.iter().take(16).all(|byte| *byte == 0) && piece.iter().all(|byte| *byte == 0)
}
