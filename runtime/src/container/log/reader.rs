//! Reading a log from its beginning, while it is perhaps still being written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::error::{Context, Result};
use super::frame::{HEADER, Header, Record};
use super::{segment_name, segments};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// A place in a log. `next` returns the records behind it that are complete, and `None` when there are no more *now*.
#[derive(Debug)]
pub(crate) struct LogReader {
    directory: PathBuf,
    number: u32,
    file: Option<File>,
    /// Offset in the segment of the first byte not yet in `buffer`.
    offset: u64,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were already returned.
    taken: usize,
}

impl LogReader {
    /// A reader at the beginning of the log in `directory`.
    pub(crate) fn open(directory: &Path) -> Self {
        Self::at_segment(directory, 0)
    }

    /// A reader at the beginning of segment `number`, or of the next one that exists.
    fn at_segment(directory: &Path, number: u32) -> Self {
        Self {
            directory: directory.to_owned(),
            number,
            file: None,
            offset: 0,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// A reader that stands `lines` lines before the end of what is written, in either stream.
    pub(crate) fn open_at_tail(directory: &Path, lines: usize) -> Result<(Self, usize)> {
        let describe = || format!("reading the log {}", directory.display());
        let numbers = segments(directory).context(describe)?;
        let mut first = 0;
        let mut found = 0;
        for &number in numbers.iter().rev() {
            first = number;
            // From here to the end, not only this segment: a line may run over the border of two.
            found = Self::at_segment(directory, number).count_lines()?;
            // One more than asked for: this segment may begin in the middle of a line.
            if found > lines {
                break;
            }
        }
        Ok((
            Self::at_segment(directory, first),
            found.saturating_sub(lines),
        ))
    }

    /// Lines that begin from here on, an unfinished last one included.
    fn count_lines(&mut self) -> Result<usize> {
        let mut counter = super::lines::LineCounter::default();
        while let Some(record) = self.next()? {
            counter.count(&record);
        }
        Ok(counter.lines)
    }

    /// The next complete record.
    pub(crate) fn next(&mut self) -> Result<Option<Record>> {
        let directory = self.directory.clone();
        self.advance()
            .context(|| format!("reading the log {}", directory.display()))
    }

    fn advance(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.file.is_none() && !self.open_next()? {
                return Ok(None);
            }
            if let Some(record) = self.take_record() {
                return Ok(Some(record));
            }
            // The successor must be looked for before the read that finds nothing: what was written in between counts.
            let complete = segments(&self.directory)?
                .into_iter()
                .any(|number| number > self.number);
            if self.fill()? {
                continue;
            }
            if !complete {
                return Ok(None);
            }
            self.file = None;
        }
    }

    /// Opens the first segment after the current one. It may be gone again before it is opened: then the next.
    fn open_next(&mut self) -> io::Result<bool> {
        for number in segments(&self.directory)?
            .into_iter()
            .filter(|&number| number > self.number || (number == self.number && self.offset == 0))
        {
            match File::open(self.directory.join(segment_name(number))) {
                Ok(file) => {
                    self.file = Some(file);
                    self.number = number;
                    self.offset = 0;
                    self.buffer.clear();
                    self.taken = 0;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn take_record(&mut self) -> Option<Record> {
        let rest = &self.buffer[self.taken..];
        let header = Header::decode(*rest.first_chunk::<HEADER>()?)?;
        let bytes = rest[HEADER..].get(..header.length)?.to_vec();
        self.taken += HEADER + header.length;
        Some(Record {
            stream: header.stream,
            time: header.time,
            partial: header.partial,
            bytes,
        })
    }

    /// Reads more of the segment; false at its present end.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let start = self.buffer.len();
        self.buffer.resize(start + CHUNK, 0);
        let count = loop {
            match file.read_at(&mut self.buffer[start..], self.offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(start + *count.as_ref().unwrap_or(&0));
        let count = count?;
        self.offset += count as u64;
        Ok(count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::state::Moment;
    use super::super::{LogLimits, LogWriter, Stream};
    use super::*;
    use std::io::Write;

    fn texts(reader: &mut LogReader) -> Vec<String> {
        std::iter::from_fn(|| reader.next().unwrap())
            .map(|record| String::from_utf8(record.bytes).unwrap())
            .collect()
    }

    #[test]
    fn a_reader_sees_records_as_they_come() {
        let root = tempfile::tempdir().unwrap();
        let mut reader = LogReader::open(root.path());
        assert!(reader.next().unwrap().is_none());
        let mut writer = LogWriter::open(root.path(), LogLimits::default()).unwrap();
        assert!(reader.next().unwrap().is_none());
        writer.append(Stream::Stdout, Moment(1), b"one\n");
        writer.append(Stream::Stderr, Moment(2), b"tw");
        let record = reader.next().unwrap().unwrap();
        assert_eq!(
            (record.stream, record.partial, record.time),
            (Stream::Stdout, false, Moment(1))
        );
        let record = reader.next().unwrap().unwrap();
        assert_eq!(
            (record.stream, record.partial, record.time),
            (Stream::Stderr, true, Moment(2))
        );
        assert!(reader.next().unwrap().is_none());
        writer.append(Stream::Stderr, Moment(3), b"o\n");
        assert_eq!(texts(&mut reader), ["o\n"]);
    }

    #[test]
    fn rotation_loses_nothing_for_a_reader_and_bounds_the_size() {
        let root = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            segment: 100,
            total: 400,
        };
        let mut writer = LogWriter::open(root.path(), limits).unwrap();
        let mut reader = LogReader::open(root.path());
        let mut seen = Vec::new();
        for number in 0..200 {
            writer.append(
                Stream::Stdout,
                Moment(number),
                format!("{number}\n").as_bytes(),
            );
            if number % 3 == 0 {
                seen.extend(texts(&mut reader));
            }
        }
        seen.extend(texts(&mut reader));
        assert_eq!(
            seen,
            (0..200)
                .map(|number| format!("{number}\n"))
                .collect::<Vec<_>>()
        );
        let kept: u64 = std::fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(kept <= 400, "{kept}");
        assert_eq!(writer.lost, 0);
    }

    #[test]
    fn a_torn_record_is_skipped() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(root.path(), LogLimits::default()).unwrap();
        writer.append(Stream::Stdout, Moment(1), b"whole\n");
        drop(writer);
        let torn = super::super::frame::Header {
            stream: Stream::Stdout,
            time: Moment(2),
            partial: false,
            length: 50,
        }
        .encode();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(root.path().join("00000001"))
            .unwrap();
        file.write_all(&torn).unwrap();
        file.write_all(b"half").unwrap();
        let mut reader = LogReader::open(root.path());
        assert_eq!(texts(&mut reader), ["whole\n"]);
        let mut writer = LogWriter::open(root.path(), LogLimits::default()).unwrap();
        writer.append(Stream::Stdout, Moment(3), b"after\n");
        assert_eq!(texts(&mut reader), ["after\n"]);
        assert_eq!(
            texts(&mut LogReader::open(root.path())),
            ["whole\n", "after\n"]
        );
    }
}
