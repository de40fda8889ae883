//! Appending to a log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::error::{Context, Result};
use super::super::state::Moment;
use super::frame::{HEADER, Header, MAX_PAYLOAD, Stream};
use super::{segment_name, segments};

/// How large a log may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes after which a new segment begins.
    pub segment: u64,
    /// Bytes of the whole log; the oldest segments go when it is passed.
    pub total: u64,
}

impl Default for LogLimits {
    /// 256 MiB in segments of 16 MiB: days of a chatty service, and no full disk.
    fn default() -> Self {
        Self {
            segment: 16 << 20,
            total: 256 << 20,
        }
    }
}

/// The writing end of a log. One exists per running monitor.
#[derive(Debug)]
pub(crate) struct LogWriter {
    directory: PathBuf,
    limits: LogLimits,
    number: u32,
    file: File,
    size: u64,
    /// Bytes that could not be written, because the disk is full for instance.
    pub(crate) lost: u64,
}

impl LogWriter {
    /// Begins a new segment in `directory`, which is made when missing.
    pub(crate) fn open(directory: &Path, limits: LogLimits) -> Result<Self> {
        let begin = || {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
            let number = segments(directory)?.last().map_or(1, |last| last + 1);
            Ok::<_, io::Error>((number, create_segment(directory, number)?))
        };
        let (number, file) =
            begin().context(|| format!("opening the log {}", directory.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            limits,
            number,
            file,
            size: 0,
            lost: 0,
        })
    }

    /// Appends what was read from the container. A log that can't be written never stops the container: the loss is counted.
    pub(crate) fn append(&mut self, stream: Stream, time: Moment, bytes: &[u8]) {
        for chunk in bytes.chunks(MAX_PAYLOAD) {
            let partial = chunk.last() != Some(&b'\n');
            let header = Header {
                stream,
                time,
                partial,
                length: chunk.len(),
            };
            if self.size >= self.limits.segment && self.rotate().is_err() {
                self.lost += chunk.len() as u64;
                continue;
            }
            match self.write_record(&header.encode(), chunk) {
                Ok(()) => self.size += (HEADER + chunk.len()) as u64,
                Err(_) => {
                    // What was torn must not be taken for a record. If even that fails, a new segment begins with the next one.
                    if self.file.set_len(self.size).is_err() {
                        self.size = self.limits.segment;
                    }
                    self.lost += chunk.len() as u64;
                }
            }
        }
    }

    fn write_record(&mut self, header: &[u8], payload: &[u8]) -> io::Result<()> {
        let whole = header.len() + payload.len();
        let written = loop {
            match self
                .file
                .write_vectored(&[IoSlice::new(header), IoSlice::new(payload)])
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if written == whole {
            return Ok(());
        }
        if written < header.len() {
            self.file.write_all(&header[written..])?;
        }
        self.file
            .write_all(&payload[written.saturating_sub(header.len())..])
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = create_segment(&self.directory, self.number + 1)?;
        self.number += 1;
        self.size = 0;
        self.drop_oldest()
    }

    /// Removes the oldest segments while the log is larger than its limit.
    fn drop_oldest(&self) -> io::Result<()> {
        let mut sizes = Vec::new();
        for number in segments(&self.directory)? {
            let path = self.directory.join(segment_name(number));
            sizes.push((fs::metadata(&path)?.len(), path));
        }
        // The new segment will grow to its full size.
        let mut total = sizes.iter().map(|(size, _)| size).sum::<u64>() + self.limits.segment;
        sizes.pop();
        for (size, path) in sizes {
            if total <= self.limits.total {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }
}

fn create_segment(directory: &Path, number: u32) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(directory.join(segment_name(number)))
}
