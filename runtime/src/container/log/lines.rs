//! From records to the lines that `logs` prints: tail, since, until, timestamps.

use super::super::state::Moment;
use super::frame::{Record, Stream};

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Wait for more until the container ends.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail: Option<usize>,
    /// Only what was written at this moment or later.
    pub since: Option<Moment>,
    /// Only what was written before this moment.
    pub until: Option<Moment>,
    /// Put the time before each line.
    pub timestamps: bool,
}

/// A piece of output ready to be written: whole lines, or the part of one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Where it belongs.
    pub stream: Stream,
    /// The bytes, with their line ends.
    pub bytes: Vec<u8>,
}

/// Which streams stand in the middle of a line.
#[derive(Clone, Copy, Debug, Default)]
struct OpenLines([bool; 2]);

impl OpenLines {
    fn slot(&mut self, stream: Stream) -> &mut bool {
        &mut self.0[usize::from(stream == Stream::Stderr)]
    }
}

/// Counts the lines that begin in a row of records.
#[derive(Debug, Default)]
pub(super) struct LineCounter {
    open: OpenLines,
    pub(super) lines: usize,
}

impl LineCounter {
    pub(super) fn count(&mut self, record: &Record) {
        let open = self.open.slot(record.stream);
        let ends = record.bytes.iter().filter(|&&byte| byte == b'\n').count();
        self.lines += ends + usize::from(record.partial && !record.bytes.is_empty());
        // The first line of the record continued one that was counted already.
        self.lines -= usize::from(*open && !record.bytes.is_empty());
        if !record.bytes.is_empty() {
            *open = record.partial;
        }
    }
}

/// Turns records into output, in order.
#[derive(Debug)]
pub struct LogPrinter {
    options: LogOptions,
    skip: usize,
    open: OpenLines,
    /// Streams whose present line is being skipped.
    skipping: OpenLines,
}

impl LogPrinter {
    /// A printer that leaves out the first `skip` lines.
    pub fn new(options: LogOptions, skip: usize) -> Self {
        Self {
            options,
            skip,
            open: OpenLines::default(),
            skipping: OpenLines::default(),
        }
    }

    /// The output for a record, if any of it is wanted.
    pub fn print(&mut self, record: &Record) -> Option<LogLine> {
        let outside = self.options.since.is_some_and(|since| record.time < since)
            || self.options.until.is_some_and(|until| record.time >= until);
        let mut bytes = Vec::with_capacity(record.bytes.len());
        for line in record.bytes.split_inclusive(|&byte| byte == b'\n') {
            let continued = *self.open.slot(record.stream);
            if !continued {
                *self.skipping.slot(record.stream) = self.skip > 0 || outside;
                self.skip = self.skip.saturating_sub(1);
            }
            *self.open.slot(record.stream) = line.last() != Some(&b'\n');
            if *self.skipping.slot(record.stream) {
                continue;
            }
            if self.options.timestamps && !continued {
                bytes.extend_from_slice(record.time.rfc3339().as_bytes());
                bytes.push(b' ');
            }
            bytes.extend_from_slice(line);
        }
        (!bytes.is_empty()).then_some(LogLine {
            stream: record.stream,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LogLimits, LogReader, LogWriter};
    use super::*;

    /// A log with lines in pieces and two streams.
    fn sample(root: &std::path::Path, segment: u64) {
        let mut writer = LogWriter::open(
            root,
            LogLimits {
                segment,
                total: 1 << 20,
            },
        )
        .unwrap();
        writer.append(Stream::Stdout, Moment(1_000_000_000), b"a1\na2\n");
        writer.append(Stream::Stdout, Moment(2_000_000_000), b"a3-");
        writer.append(Stream::Stderr, Moment(3_000_000_000), b"b1\n");
        writer.append(Stream::Stdout, Moment(4_000_000_000), b"end\na4\n");
        writer.append(Stream::Stdout, Moment(5_000_000_000), b"open");
    }

    fn printed(root: &std::path::Path, options: LogOptions) -> String {
        let (mut reader, skip) = match options.tail {
            Some(lines) => LogReader::open_at_tail(root, lines).unwrap(),
            None => (LogReader::open(root), 0),
        };
        let mut printer = LogPrinter::new(options, skip);
        let mut text = String::new();
        while let Some(record) = reader.next().unwrap() {
            if let Some(line) = printer.print(&record) {
                text.push_str(if line.stream == Stream::Stderr {
                    "!"
                } else {
                    ""
                });
                text.push_str(std::str::from_utf8(&line.bytes).unwrap());
            }
        }
        text
    }

    #[test]
    fn tail_counts_lines_over_pieces_and_segments() {
        for segment in [1, 30, 1 << 20] {
            let root = tempfile::tempdir().unwrap();
            sample(root.path(), segment);
            let tail = |lines| {
                printed(
                    root.path(),
                    LogOptions {
                        tail: Some(lines),
                        ..LogOptions::default()
                    },
                )
            };
            assert_eq!(tail(0), "", "segments of {segment}");
            assert_eq!(tail(1), "open", "segments of {segment}");
            assert_eq!(tail(2), "a4\nopen", "segments of {segment}");
            assert_eq!(
                tail(100),
                "a1\na2\na3-!b1\nend\na4\nopen",
                "segments of {segment}"
            );
        }
    }

    #[test]
    fn times_select_and_are_shown_at_the_beginning_of_lines_only() {
        let root = tempfile::tempdir().unwrap();
        sample(root.path(), 1 << 20);
        let since = LogOptions {
            since: Some(Moment(3_000_000_000)),
            timestamps: true,
            ..LogOptions::default()
        };
        assert_eq!(
            printed(root.path(), since),
            "!1970-01-01T00:00:03.000000000Z b1\n1970-01-01T00:00:04.000000000Z a4\n1970-01-01T00:00:05.000000000Z open"
        );
        let until = LogOptions {
            until: Some(Moment(2_000_000_000)),
            ..LogOptions::default()
        };
        assert_eq!(printed(root.path(), until), "a1\na2\n");
    }
}
