//! The output of a step: handed on line by line, kept whole in its log.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};

use crate::event::{Event, Sink, StepNumber};

/// Read at once: most steps write less, and a buffer is filled with zeros for each.
const BUFFER: usize = 16 << 10;
/// A line longer than this is handed on in pieces.
const LONGEST_LINE: usize = 64 << 10;
/// How much of the end is kept for hints.
const TAIL: usize = 4 << 10;

/// Takes what a step writes.
pub(super) struct Output<'a> {
    events: &'a dyn Sink,
    step: StepNumber,
    log: Option<File>,
    /// What was read of the last line of either stream.
    partial: [Vec<u8>; 2],
    tail: Vec<u8>,
}

impl<'a> Output<'a> {
    pub(super) fn new(events: &'a dyn Sink, step: StepNumber, log: Option<File>) -> Self {
        Self {
            events,
            step,
            log,
            partial: [Vec::new(), Vec::new()],
            tail: Vec::new(),
        }
    }

    /// Reads both streams until both have ended.
    pub(super) fn drain(&mut self, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<()> {
        let mut streams = [Some(stdout), Some(stderr)];
        let mut buffer = vec![0; BUFFER];
        while streams.iter().any(Option::is_some) {
            for index in readable(&streams)? {
                let Some(stream) = &streams[index] else {
                    continue;
                };
                match read(stream, &mut buffer[..]) {
                    Ok(0) => streams[index] = None,
                    Ok(length) => self.take(index, &buffer[..length])?,
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        for index in [0, 1] {
            let rest = std::mem::take(&mut self.partial[index]);
            if !rest.is_empty() {
                self.line(index, &rest);
            }
        }
        Ok(())
    }

    /// The end of the output, for hints.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    fn take(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        if let Some(log) = &mut self.log {
            log.write_all(bytes)?;
        }
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.partial[index].is_empty() {
                self.line(index, line);
            } else {
                let mut whole = std::mem::take(&mut self.partial[index]);
                whole.extend_from_slice(line);
                self.line(index, &whole);
            }
        }
        self.partial[index].extend_from_slice(rest);
        if self.partial[index].len() > LONGEST_LINE {
            let piece = std::mem::take(&mut self.partial[index]);
            self.line(index, &piece);
        }
        Ok(())
    }

    fn line(&self, index: usize, line: &[u8]) {
        self.events.event(Event::Output {
            step: self.step,
            stderr: index == 1,
            line,
        });
    }
}

/// The streams that have something to read, or have ended.
fn readable(streams: &[Option<OwnedFd>; 2]) -> io::Result<Vec<usize>> {
    let open: Vec<usize> = (0..streams.len())
        .filter(|index| streams[*index].is_some())
        .collect();
    let mut waiting: Vec<PollFd<'_>> = streams
        .iter()
        .flatten()
        .map(|stream| PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN))
        .collect();
    loop {
        match poll(&mut waiting, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(open
        .into_iter()
        .zip(&waiting)
        .filter(|(_, stream)| !stream.revents().is_empty())
        .map(|(index, _)| index)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rustix::pipe::pipe;

    use super::*;

    #[test]
    fn lines_arrive_whole_and_the_log_has_everything() {
        let (out_read, out_write) = pipe().expect("a pipe");
        let (err_read, err_write) = pipe().expect("a pipe");
        File::from(out_write)
            .write_all(b"one\ntwo\nhalf")
            .expect("room in the pipe");
        File::from(err_write)
            .write_all(b"oops\n")
            .expect("room in the pipe");
        let seen = Mutex::new(Vec::new());
        let sink = |event: Event<'_>| {
            if let Event::Output { stderr, line, .. } = event {
                seen.lock()
                    .expect("unpoisoned")
                    .push((stderr, String::from_utf8_lossy(line).into_owned()));
            }
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("log");
        let mut output = Output::new(&sink, 3, Some(File::create(&path).expect("a log")));
        output
            .drain(out_read, err_read)
            .expect("pipes are readable");
        let mut lines = seen.lock().expect("unpoisoned").clone();
        lines.sort();
        let expected = [
            (false, "half"),
            (false, "one\n"),
            (false, "two\n"),
            (true, "oops\n"),
        ];
        assert_eq!(
            lines,
            expected.map(|(stderr, line)| (stderr, line.to_owned()))
        );
        assert_eq!(std::fs::read(&path).expect("the log").len(), 17);
        assert!(output.tail().ends_with(b"\n") || output.tail().ends_with(b"half"));
    }
}
