//! The log of a container: what its processes wrote, in framed records.
//!
//! ```text
//! log/00000001   records: u32 (length, stream, partial flag) u64 (nanoseconds since 1970) bytes...
//! log/00000002   the next segment; the highest number is being written, the others are complete
//! ```
//!
//! One monitor appends; any number of readers follow without a lock. A segment never changes once its successor exists, so a
//! reader loses nothing at a rotation. The oldest segments go when the whole log passes its limit. A record torn by a crash can
//! only be the last of a segment, because every monitor begins a new one; readers skip it.

mod frame;
mod lines;
mod reader;
mod writer;

pub use frame::Stream;
pub use lines::{LogLine, LogOptions, LogPrinter};
pub(crate) use reader::LogReader;
pub use writer::LogLimits;
pub(crate) use writer::LogWriter;

use std::fs;
use std::io;
use std::path::Path;

/// The numbers of the segments in `directory`, ascending.
fn segments(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if let Some(number) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file name of a segment.
fn segment_name(number: u32) -> String {
    format!("{number:08}")
}
