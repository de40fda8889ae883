//! A client connected to the streams of a container or of an exec.

mod pump;

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::termios::{Winsize, tcsetwinsize};

use super::config::Config;
use super::control::{Channel, Reply};
use super::detach_keys::DetachKeys;
use super::error::{Context, Error, Result};
use super::log::Stream;
use crate::WindowSize;

/// A connection to running processes. Dropping it leaves them running.
#[derive(Debug)]
pub struct Session {
    name: String,
    channel: Channel,
    outputs: Vec<(OwnedFd, Stream)>,
    /// Where to write to the processes; a terminal's also sets its size.
    input: Option<OwnedFd>,
    terminal: bool,
    /// Whether the streams end with the process: those of a container do, an exec may leave others behind that hold them.
    until_end: bool,
    warnings: Vec<String>,
    notices: Vec<String>,
}

/// The caller's side of a session.
#[derive(Debug)]
pub struct Local<'a> {
    /// Read and passed on, if given.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Gets the output.
    pub stdout: BorrowedFd<'a>,
    /// Gets the errors.
    pub stderr: BorrowedFd<'a>,
    /// The keys that leave a terminal, if any.
    pub detach_keys: Option<DetachKeys>,
}

/// How a session came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The process ended with this code.
    Exited(i32),
    /// The detach keys were pressed.
    Detached,
}

/// The size of a session's terminal, to be set from any thread.
#[derive(Debug)]
pub struct TerminalHandle(OwnedFd);

impl TerminalHandle {
    /// Sets the size; the processes are told by SIGWINCH.
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.0, size).context(|| "setting the size of the terminal".to_owned())
    }
}

impl Session {
    pub(super) fn new(
        config: &Config,
        channel: Channel,
        outputs: Vec<(OwnedFd, Stream)>,
        input: Option<OwnedFd>,
        until_end: bool,
    ) -> Self {
        Self {
            name: config.name.clone(),
            channel,
            outputs,
            input,
            terminal: config.process.terminal,
            until_end,
            warnings: Vec::new(),
            notices: Vec::new(),
        }
    }

    pub(super) fn warn(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// What could not be done as it was asked for.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Adds what the user should know.
    pub(super) fn with_notices(mut self, notices: Vec<String>) -> Self {
        self.notices = notices;
        self
    }

    /// What the user should know about the container that was started.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Says whether the processes have a terminal; an exec's may differ from its container's.
    pub(super) fn on_terminal(mut self, terminal: bool) -> Self {
        self.terminal = terminal;
        self
    }

    /// The terminal of the processes, if they have one.
    pub fn terminal(&self) -> Result<Option<TerminalHandle>> {
        match &self.input {
            Some(input) if self.terminal => input
                .try_clone()
                .map(|input| Some(TerminalHandle(input)))
                .context(|| "duplicating the terminal".to_owned()),
            _ => Ok(None),
        }
    }

    /// Waits for the end without passing anything on.
    pub fn wait(self) -> Result<i32> {
        drop(self.outputs);
        drop(self.input);
        loop {
            if let Some(code) = take_exit(&self.channel, &self.name)? {
                return Ok(code);
            }
        }
    }

    /// Carries bytes both ways until the process ends or the caller detaches. Every byte of output has been written by then.
    pub fn run(self, local: Local<'_>) -> Result<SessionEnd> {
        pump::Pump::new(self, local)?.run()
    }
}

/// Waits for the message that a process has ended.
fn take_exit(channel: &Channel, name: &str) -> Result<Option<i32>> {
    match channel
        .receive::<Reply>()
        .context(|| format!("waiting for container {name}"))?
    {
        Some((Reply::Exited(code), _)) => Ok(Some(code)),
        Some((Reply::Failed(error), _)) => Err(error.into()),
        Some(_) => Ok(None),
        None => Err(Error::MonitorLost(name.to_owned())),
    }
}
