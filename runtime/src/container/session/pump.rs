//! The loop of a session: output out, input in, until the end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::super::error::{Context, Result};
use super::super::log::Stream;
use super::super::ready::is_readable;
use super::{Local, Session, SessionEnd, take_exit};

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;

/// The two ends and what is on its way.
pub(super) struct Pump<'a> {
    session: Session,
    local: Local<'a>,
    /// Streams that have not ended.
    outputs: Vec<Option<(OwnedFd, Stream)>>,
    /// Input that the processes did not take yet.
    pending: Vec<u8>,
    /// The caller's input has ended.
    input_ended: bool,
    exit: Option<i32>,
    detached: bool,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Token {
    Channel,
    Output(usize),
    Stdin,
    Input,
}

impl<'a> Pump<'a> {
    pub(super) fn new(mut session: Session, local: Local<'a>) -> Result<Self> {
        let outputs = std::mem::take(&mut session.outputs)
            .into_iter()
            .map(Some)
            .collect();
        if let Some(input) = &session.input {
            // Whoever shares it is a client like this one, or the monitor, which never waits for it.
            fcntl_getfl(input)
                .and_then(|flags| fcntl_setfl(input, flags | OFlags::NONBLOCK))
                .context(|| "preparing the input".to_owned())?;
        }
        let input_ended = local.stdin.is_none();
        let mut pump = Self {
            session,
            local,
            outputs,
            pending: Vec::new(),
            input_ended,
            exit: None,
            detached: false,
            buffer: vec![0; CHUNK],
        };
        pump.close_input();
        Ok(pump)
    }

    pub(super) fn run(mut self) -> Result<SessionEnd> {
        loop {
            if self.detached {
                return Ok(SessionEnd::Detached);
            }
            if let Some(code) = self.exit {
                if !self.session.until_end {
                    self.take_rest()?;
                }
                if self.outputs.iter().all(Option::is_none) {
                    return Ok(SessionEnd::Exited(code));
                }
            }
            for token in self.wait() {
                match token {
                    Token::Channel => {
                        self.exit = take_exit(&self.session.channel, &self.session.name)?
                    }
                    Token::Output(index) => {
                        self.copy_output(index)?;
                    }
                    Token::Stdin => self.read_input()?,
                    Token::Input => self.write_input(),
                }
            }
        }
    }

    /// Waits until something can be done.
    fn wait(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut descriptors = Vec::new();
        let mut add = |token, descriptor, flags| {
            tokens.push(token);
            descriptors.push(PollFd::from_borrowed_fd(descriptor, flags));
        };
        if self.exit.is_none() {
            add(Token::Channel, self.session.channel.as_fd(), PollFlags::IN);
        }
        for (index, output) in self.outputs.iter().enumerate() {
            if let Some((output, _)) = output {
                add(Token::Output(index), output.as_fd(), PollFlags::IN);
            }
        }
        if let Some(input) = &self.session.input {
            match self.local.stdin {
                _ if !self.pending.is_empty() => add(Token::Input, input.as_fd(), PollFlags::OUT),
                Some(stdin) if !self.input_ended => add(Token::Stdin, stdin, PollFlags::IN),
                _ => {}
            }
        }
        if poll(&mut descriptors, None).is_err() {
            // Interrupted by a signal: look again.
            return Vec::new();
        }
        let ready: Vec<_> = descriptors
            .iter()
            .map(|descriptor| !descriptor.revents().is_empty())
            .collect();
        tokens
            .into_iter()
            .zip(ready)
            .filter(|(_, ready)| *ready)
            .map(|(token, _)| token)
            .collect()
    }

    /// Copies what one stream has; false at its end.
    fn copy_output(&mut self, index: usize) -> Result<bool> {
        let Some((output, stream)) = &self.outputs[index] else {
            return Ok(false);
        };
        let count = match rustix::io::read(output, &mut self.buffer[..]) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(true),
            // A terminal that nobody has open any more says EIO.
            Err(_) | Ok(0) => {
                self.outputs[index] = None;
                return Ok(false);
            }
            Ok(count) => count,
        };
        let (target, name) = match stream {
            Stream::Stdout => (self.local.stdout, "standard output"),
            Stream::Stderr => (self.local.stderr, "standard error"),
        };
        write_all(target, &self.buffer[..count]).context(|| format!("writing to {name}"))?;
        Ok(true)
    }

    /// Takes what an exec that has ended left in its streams. Others may hold them, so their end is not waited for.
    fn take_rest(&mut self) -> Result<()> {
        for index in 0..self.outputs.len() {
            while self.outputs[index]
                .as_ref()
                .is_some_and(|(output, _)| is_readable(output.as_fd()))
                && self.copy_output(index)?
            {}
            self.outputs[index] = None;
        }
        Ok(())
    }

    fn read_input(&mut self) -> Result<()> {
        let Some(stdin) = self.local.stdin else {
            return Ok(());
        };
        let count = match rustix::io::read(stdin, &mut self.buffer[..]) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            // A terminal of the caller that was hung up.
            Err(Errno::IO) => 0,
            other => other.context(|| "reading standard input".to_owned())?,
        };
        self.input_ended = count == 0;
        match &mut self.local.detach_keys {
            Some(keys) if self.session.terminal => {
                self.detached = keys.feed(&self.buffer[..count], &mut self.pending)
            }
            _ => self.pending.extend_from_slice(&self.buffer[..count]),
        }
        self.write_input();
        Ok(())
    }

    fn write_input(&mut self) {
        while let Some(input) = &self.session.input
            && !self.pending.is_empty()
        {
            match rustix::io::write(input, &self.pending) {
                Ok(count) => {
                    self.pending.drain(..count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    // Nobody reads it any more.
                    self.pending.clear();
                    self.input_ended = true;
                }
            }
        }
        self.close_input();
    }

    /// Passes the end of the input on. A terminal has none.
    fn close_input(&mut self) {
        if self.input_ended && self.pending.is_empty() && !self.session.terminal {
            self.session.input = None;
        }
    }
}

/// Writes everything, also to a descriptor that somebody made non-blocking.
fn write_all(target: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(target, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // An error here shows again in the write.
                let _ = poll(
                    &mut [PollFd::from_borrowed_fd(target, PollFlags::OUT)],
                    None,
                );
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
