//! What can be done with a container that exists: stop, kill, attach, exec, remove.
//!
//! All of it goes through the monitor's socket, so it needs no privilege beyond the socket's. A monitor that is gone shows as a
//! connection that fails; the record then tells the rest.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use super::config::Config;
use super::containers::Container;
use super::control::{Channel, ExecRequest, ProcessRequest, Reply, Request, receive_descriptor};
use super::environment;
use super::error::{Context, Error, Result};
use super::lock::MonitorLock;
use super::log::Stream;
use super::removal;
use super::session::Session;
use super::signals::{KILL, parse_signal};
use super::start::{Attach, Pipes};
use super::state::{State, Status};
use super::watch::Watch;
use crate::WindowSize;

/// How long is waited for a change before the lock of a starting or ending monitor is looked at again in any case: the kernel tells
/// that a file is closed a moment before it lets its lock go.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_millis(20);

/// Seconds between the stop signal and SIGKILL: docker's.
const STOP_TIMEOUT: u32 = 10;

/// What to execute in a running container.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `--env`, values filled in.
    pub env: Vec<String>,
    /// `--workdir`; the container's otherwise.
    pub workdir: Option<String>,
    /// `--user`; the container's otherwise.
    pub user: Option<String>,
    /// `--privileged`.
    pub privileged: bool,
    /// `--tty`.
    pub terminal: bool,
    /// `--interactive`.
    pub open_stdin: bool,
    /// `--detach`: nobody reads what it writes.
    pub detached: bool,
    /// Size of its terminal.
    pub size: WindowSize,
}

impl Container {
    /// Asks it to end, and kills it after `timeout` seconds (its own, or ten; -1 waits for ever). One that does not run is fine.
    pub fn stop(&self, timeout: Option<i64>, signal: Option<&str>) -> Result<()> {
        let signal = signal.map(parse_signal).transpose()?;
        if self.state()?.paused {
            self.unpause()?;
        }
        let seconds =
            timeout.unwrap_or_else(|| i64::from(self.config.stop_timeout.unwrap_or(STOP_TIMEOUT)));
        let timeout = u64::try_from(seconds).ok().map(|seconds| {
            u64::try_from(Duration::from_secs(seconds).as_millis()).unwrap_or(u64::MAX)
        });
        self.end(&Request::Stop { signal, timeout })
    }

    /// Sends a signal.
    pub fn kill(&self, signal: &str) -> Result<()> {
        let signal = parse_signal(signal)?;
        match self.connect()? {
            Some(channel) => match self.ask(&channel, &Request::Signal(signal), &[])? {
                (Reply::Failed(error), _) => Err(error.into()),
                _ => Ok(()),
            },
            None => Err(Error::Failed(format!(
                "Cannot kill container: {}: container {} is not running",
                self.config.name, self.config.id
            ))),
        }
    }

    /// Connects to its streams.
    pub fn attach(&self, wanted: Attach) -> Result<Session> {
        let channel = self.connect()?.ok_or_else(|| {
            Error::Failed("You cannot attach to a stopped container, start it first".to_owned())
        })?;
        let (request, pipes) = Pipes::open(
            wanted,
            self.config.process.terminal,
            self.config.process.open_stdin,
        )?;
        let writers: Vec<_> = pipes.writers.iter().map(AsFd::as_fd).collect();
        let (reply, descriptors) = self.ask(&channel, &Request::Attach(request), &writers)?;
        match reply {
            Reply::Started => Ok(Session::new(
                &self.config,
                channel,
                pipes.readers,
                descriptors.into_iter().next(),
                true,
            )),
            Reply::Failed(error) => Err(error.into()),
            Reply::Done | Reply::Exited(_) => Err(Error::NotRunning(self.config.name.clone())),
        }
    }

    /// Executes a further process in it. When this returns the program runs.
    pub fn exec(&self, options: &ExecOptions) -> Result<Session> {
        let channel = self
            .connect()?
            .ok_or_else(|| Error::NotRunning(self.config.id.to_string()))?;
        let streams = ExecStreams::open(options)?;
        let request = Request::Exec(ExecRequest {
            process: self.exec_process(options)?,
            terminal: options
                .terminal
                .then_some((options.size.rows, options.size.columns)),
        });
        let theirs: Vec<_> = streams.theirs.iter().map(AsFd::as_fd).collect();
        let (reply, _) = self.ask(&channel, &request, &theirs)?;
        match reply {
            Reply::Started => {}
            Reply::Failed(error) => return Err(error.into()),
            Reply::Done | Reply::Exited(_) => {
                return Err(Error::NotRunning(self.config.id.to_string()));
            }
        }
        drop(streams.theirs);
        let (outputs, input) = match streams.terminal {
            Some(socket) => {
                let describe = || "taking over the terminal".to_owned();
                let master = receive_descriptor(socket.as_fd()).context(describe)?;
                let input = master.try_clone().context(describe)?;
                (vec![(master, Stream::Stdout)], Some(input))
            }
            None => (streams.outputs, streams.input),
        };
        Ok(
            Session::new(&self.config, channel, outputs, input, false)
                .on_terminal(options.terminal),
        )
    }

    fn exec_process(&self, options: &ExecOptions) -> Result<ProcessRequest> {
        if options.command.is_empty() {
            return Err(Error::Invalid("No exec command specified".to_owned()));
        }
        let process = &self.config.process;
        let cwd = options
            .workdir
            .clone()
            .unwrap_or_else(|| process.cwd.clone());
        if !cwd.starts_with('/') {
            return Err(Error::Invalid(format!(
                "the working directory '{cwd}' is invalid, it needs to be an absolute path"
            )));
        }
        Ok(ProcessRequest {
            argv: options.command.clone(),
            env: environment::complete(
                &self.config.hostname,
                options.terminal,
                &[&process.env, &options.env],
            ),
            cwd,
            user: options.user.clone().unwrap_or_else(|| process.user.clone()),
            privileged: options.privileged,
        })
    }

    /// Removes it. A running one only with `force`; anonymous volumes go with it if asked, and always with `--rm` containers.
    pub fn remove(&self, force: bool, volumes: bool) -> Result<()> {
        let running = match self.state() {
            Ok(state) => state.status == Status::Running,
            // It removed itself.
            Err(_) if !self.directory.exists() => return Ok(()),
            // A record that can't be read must not keep it here for ever.
            Err(error) if !force => return Err(error),
            Err(_) => false,
        };
        if running && !force {
            return Err(Error::CannotRemoveRunning(self.config.name.clone()));
        }
        if running {
            self.end(&Request::Stop {
                signal: Some(KILL),
                timeout: None,
            })?;
        }
        // Held until it is gone: nobody can start what is being removed.
        let _lock = match self.take_lock(force)? {
            Some(lock) => lock,
            None if self.directory.exists() => {
                return Err(Error::CannotRemoveRunning(self.config.name.clone()));
            }
            None => return Ok(()),
        };
        if let Ok(State {
            cgroup: Some(cgroup),
            ..
        }) = State::read(&self.directory)
        {
            cgroup.remove();
        }
        self.remove_freezer();
        // Its name may have changed meanwhile.
        let config = Config::read(&self.directory).unwrap_or_else(|_| self.config.clone());
        removal::remove(self.root(), &config, volumes || self.config.auto_remove)
    }

    /// Takes the place of its monitor. One that is about to end is waited for; so is a start under way, which `force` undoes. `None`
    /// when it runs after all, or when nothing is left to be locked.
    fn take_lock(&self, force: bool) -> Result<Option<MonitorLock>> {
        let path = self.directory.join("monitor.lock");
        let Some(watch) = Watch::of(&self.directory)? else {
            return Ok(None);
        };
        while self.directory.exists() {
            match MonitorLock::take(&path) {
                Ok(Some(lock)) => return Ok(Some(lock)),
                Ok(None) if !force => match self.state() {
                    Ok(state) if state.status == Status::Running => return Ok(None),
                    Err(error) if self.directory.exists() => return Err(error),
                    _ => {}
                },
                Ok(None) => self.end(&Request::Stop {
                    signal: Some(KILL),
                    timeout: None,
                })?,
                Err(_) if !self.directory.exists() => {}
                Err(error) => return Err(error),
            }
            // Not yet listening, or just ending: both take a moment.
            watch.wait(Some(LOCK_PATIENCE))?;
        }
        Ok(None)
    }

    /// Tells its monitor of a change of its network.
    pub(super) fn change_network(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<()> {
        let channel = self
            .connect()?
            .ok_or_else(|| Error::NotRunning(self.config.name.clone()))?;
        match self.ask(&channel, request, descriptors)? {
            (Reply::Done, _) => Ok(()),
            (Reply::Failed(error), _) => Err(error.into()),
            _ => Err(Error::NotRunning(self.config.name.clone())),
        }
    }

    /// Sends a request that is answered at the container's end.
    fn end(&self, request: &Request) -> Result<()> {
        if let Some(channel) = self.connect()? {
            match self.ask(&channel, request, &[]) {
                Ok((Reply::Failed(error), _)) => match error.into() {
                    Error::NotRunning(_) => {}
                    error => return Err(error),
                },
                Ok(_) => {}
                Err(Error::MonitorLost(_)) => {
                    // The record is put right by looking at it.
                    self.state_after_loss()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A connection to its monitor; `None` when it does not run.
    pub(super) fn connect(&self) -> Result<Option<Channel>> {
        match Channel::connect(&self.directory) {
            Ok(channel) => Ok(Some(channel)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context(|| {
                format!(
                    "connecting to the monitor of container {}",
                    self.config.name
                )
            }),
        }
    }

    pub(super) fn ask(
        &self,
        channel: &Channel,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>)> {
        let describe = || format!("talking to the monitor of container {}", self.config.name);
        match channel.send(request, descriptors) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(Error::MonitorLost(self.config.name.clone()));
            }
            other => other.context(describe)?,
        }
        channel
            .receive()
            .context(describe)?
            .ok_or_else(|| Error::MonitorLost(self.config.name.clone()))
    }
}

/// The streams of an exec: what goes to it and what stays here.
struct ExecStreams {
    theirs: Vec<OwnedFd>,
    outputs: Vec<(OwnedFd, Stream)>,
    input: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

impl ExecStreams {
    /// Pipes rather than the caller's own files: a terminal of the host must not get into the container.
    fn open(options: &ExecOptions) -> Result<Self> {
        let mut streams = Self {
            theirs: Vec::new(),
            outputs: Vec::new(),
            input: None,
            terminal: None,
        };
        if options.terminal {
            let (ours, theirs) = socketpair(
                AddressFamily::UNIX,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )
            .context(|| "making a socket".to_owned())?;
            streams.theirs.push(theirs);
            streams.terminal = Some(ours);
            return Ok(streams);
        }
        let pipe = || pipe_with(PipeFlags::CLOEXEC).context(|| "making a pipe".to_owned());
        let null = || -> Result<OwnedFd> {
            Ok(OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
                .context(|| "opening /dev/null".to_owned())?
                .into())
        };
        if options.open_stdin && !options.detached {
            let (reader, writer) = pipe()?;
            streams.theirs.push(reader);
            streams.input = Some(writer);
        } else {
            streams.theirs.push(null()?);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if options.detached {
                streams.theirs.push(null()?);
            } else {
                let (reader, writer) = pipe()?;
                streams.theirs.push(writer);
                streams.outputs.push((reader, stream));
            }
        }
        Ok(streams)
    }
}
