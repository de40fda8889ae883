//! The container's output: read once, written to the log and to every attached client.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::super::log::{LogWriter, Stream};
use super::super::ready::is_readable;
use super::super::state::Moment;

/// Bytes of one read: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Everything that the container writes and everybody who listens.
#[derive(Debug)]
pub(super) struct Output {
    sources: Vec<Source>,
    sinks: Vec<Sink>,
    /// None when nothing is kept.
    log: Option<LogWriter>,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
struct Source {
    /// `None` once the stream has ended.
    descriptor: Option<OwnedFd>,
    stream: Stream,
}

/// A client's pipe.
#[derive(Debug)]
struct Sink {
    pipe: OwnedFd,
    stream: Stream,
    pending: Vec<u8>,
    broken: bool,
    /// Gets nothing more.
    last: bool,
}

/// A descriptor of the output in the poll set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputToken {
    Source(usize),
    Sink(usize),
}

impl Output {
    pub(super) fn new(log: Option<LogWriter>) -> Self {
        Self {
            sources: Vec::new(),
            sinks: Vec::new(),
            log,
            buffer: vec![0; CHUNK].into_boxed_slice(),
        }
    }

    /// Adds the reading end of one of the container's streams.
    pub(super) fn add_source(&mut self, descriptor: OwnedFd, stream: Stream) {
        self.sources.push(Source {
            descriptor: Some(descriptor),
            stream,
        });
    }

    /// Adds a client's pipe. It gets what is written from now on.
    pub(super) fn add_sink(&mut self, pipe: OwnedFd, stream: Stream) -> io::Result<()> {
        // The pipe was made for this: its writing end has no other user who would mind.
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        self.sinks.push(Sink {
            pipe,
            stream,
            pending: Vec::new(),
            broken: false,
            last: false,
        });
        Ok(())
    }

    pub(super) fn interests<'a>(
        &'a self,
        add: &mut dyn FnMut(OutputToken, BorrowedFd<'a>, PollFlags),
    ) {
        for (index, source) in self.sources.iter().enumerate() {
            let held_back = self
                .sinks
                .iter()
                .any(|sink| sink.stream == source.stream && !sink.pending.is_empty());
            if let Some(descriptor) = &source.descriptor
                && !held_back
            {
                add(
                    OutputToken::Source(index),
                    descriptor.as_fd(),
                    PollFlags::IN,
                );
            }
        }
        for (index, sink) in self.sinks.iter().enumerate() {
            // Without anything to send a pipe still tells when its reader has gone.
            let flags = if sink.pending.is_empty() {
                PollFlags::empty()
            } else {
                PollFlags::OUT
            };
            add(OutputToken::Sink(index), sink.pipe.as_fd(), flags);
        }
    }

    /// Serves a descriptor that is ready. [`Output::tidy`] must follow before the next `interests`.
    pub(super) fn serve(&mut self, token: OutputToken, ready: PollFlags) {
        match token {
            OutputToken::Source(index) => {
                self.read(index);
            }
            OutputToken::Sink(index) => {
                let sink = &mut self.sinks[index];
                if ready.contains(PollFlags::ERR) {
                    sink.broken = true;
                } else {
                    sink.flush();
                }
            }
        }
    }

    /// Bytes that could not be kept.
    pub(super) fn lost(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.lost)
    }

    /// Lets the clients go that have everything; the others follow when they have.
    pub(super) fn forget_clients(&mut self) {
        for sink in &mut self.sinks {
            sink.last = true;
            sink.flush();
        }
        self.tidy();
    }

    /// Forgets clients that are gone.
    pub(super) fn tidy(&mut self) {
        self.sinks
            .retain(|sink| !(sink.broken || sink.last && sink.pending.is_empty()));
    }

    /// Whether every attached client has everything.
    pub(super) fn is_flushed(&self) -> bool {
        self.sinks
            .iter()
            .all(|sink| sink.pending.is_empty() || sink.broken)
    }

    /// Takes what is still in the container's streams. Its processes are dead, so there is an end; a descriptor that was
    /// handed to somebody outside is not waited for.
    pub(super) fn drain(&mut self) {
        for index in 0..self.sources.len() {
            while self.is_readable(index) && self.read(index) {}
        }
        self.sources.clear();
        self.tidy();
    }

    fn is_readable(&self, index: usize) -> bool {
        let source = self.sources[index].descriptor.as_ref();
        source.is_some_and(|descriptor| is_readable(descriptor.as_fd()))
    }

    /// Reads once from a source; false at its end.
    fn read(&mut self, index: usize) -> bool {
        let source = &mut self.sources[index];
        let Some(descriptor) = &source.descriptor else {
            return false;
        };
        match rustix::io::read(descriptor, &mut self.buffer[..]) {
            Ok(0) => {}
            Ok(count) => {
                let bytes = &self.buffer[..count];
                if let Some(log) = &mut self.log {
                    log.append(source.stream, Moment::now(), bytes);
                }
                for sink in self
                    .sinks
                    .iter_mut()
                    .filter(|sink| sink.stream == source.stream && !sink.last)
                {
                    sink.write(bytes);
                }
                return true;
            }
            Err(Errno::INTR | Errno::AGAIN) => return true,
            // A terminal that nobody has open any more says EIO.
            Err(_) => {}
        }
        source.descriptor = None;
        false
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.flush();
    }

    fn flush(&mut self) {
        while !self.pending.is_empty() && !self.broken {
            match rustix::io::write(&self.pipe, &self.pending) {
                Ok(count) => {
                    self.pending.drain(..count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.broken = true,
            }
        }
        if self.broken {
            self.pending.clear();
        }
    }
}
