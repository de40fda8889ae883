//! Health checks: a command in the container, time and again, whose exit code tells whether it is well.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Monitor;
use super::spec::exec_join;
use crate::container::control::ProcessRequest;
use crate::container::environment;
use crate::container::error::{Context, Result};
use crate::container::failure::from_launch;
use crate::container::policy::HealthConfig;
use crate::container::state::{HealthEntry, HealthState, HealthStatus, Moment};
use crate::sys::{process, signal};
use crate::{Exit, Started, Stdio};

/// Bytes of a check's output that are kept: docker's.
const OUTPUT_LIMIT: usize = 4096;
/// Checks that are remembered: docker's.
const REMEMBERED: usize = 5;
/// The exit code of a check that could not be made or took too long.
const NOT_FINISHED: i32 = -1;
/// SIGKILL.
const KILL: i32 = 9;

/// The checks of a container.
#[derive(Debug)]
pub(super) struct Health {
    config: HealthConfig,
    /// When the container was started.
    started: Instant,
    /// When the next check is due; none while one is under way.
    next: Option<Instant>,
    probe: Option<Probe>,
}

/// One check under way.
#[derive(Debug)]
struct Probe {
    process: Started,
    /// Where its output comes from; `None` once it has ended.
    output: Option<OwnedFd>,
    collected: Vec<u8>,
    began: Moment,
    deadline: Instant,
    late: bool,
}

/// A descriptor of a check in the poll set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthToken {
    Output,
    End,
}

impl Health {
    pub(super) fn new(config: &HealthConfig) -> Self {
        let mut health = Self {
            config: config.clone(),
            started: Instant::now(),
            next: None,
            probe: None,
        };
        health.plan_next(true);
        health
    }

    /// Sets the time of the next check.
    fn plan_next(&mut self, starting: bool) {
        let pause = if starting && self.in_start_period() {
            self.config.start_interval
        } else {
            self.config.interval
        };
        self.next = Instant::now().checked_add(pause);
    }

    fn in_start_period(&self) -> bool {
        self.started.elapsed() < self.config.start_period
    }

    pub(super) fn interests<'a>(&'a self, add: &mut dyn FnMut(HealthToken, BorrowedFd<'a>)) {
        if let Some(probe) = &self.probe {
            if let Some(output) = &probe.output {
                add(HealthToken::Output, output.as_fd());
            }
            add(HealthToken::End, probe.process.pidfd.as_fd());
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.probe {
            Some(probe) if probe.late => None,
            Some(probe) => Some(probe.deadline),
            None => self.next,
        }
    }

    /// Takes the status of a check whose container has ended: left unreaped it would keep the container from ending.
    pub(super) fn abandon(&mut self) {
        if let Some(probe) = self.probe.take() {
            let _ = probe.process.reap();
        }
        self.next = None;
    }
}

impl Probe {
    fn read(&mut self) {
        let Some(output) = &self.output else { return };
        let mut buffer = [0; OUTPUT_LIMIT];
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => self.output = None,
            Ok(count) => {
                let room = OUTPUT_LIMIT.saturating_sub(self.collected.len());
                self.collected.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.output = None,
        }
    }
}

impl Monitor {
    /// Serves a descriptor of a check.
    pub(super) fn serve_health(&mut self, token: HealthToken) {
        let Some(probe) = self
            .health
            .as_mut()
            .and_then(|health| health.probe.as_mut())
        else {
            return;
        };
        match token {
            HealthToken::Output => probe.read(),
            HealthToken::End => self.end_check(),
        }
    }

    /// Begins a check that is due, and ends one that takes too long.
    pub(super) fn health_on_time(&mut self, now: Instant) {
        let Some(health) = &mut self.health else {
            return;
        };
        match &mut health.probe {
            Some(probe) if !probe.late && probe.deadline <= now => {
                probe.late = true;
                // It may have ended just then.
                let _ = process::send_signal(probe.process.pidfd.as_fd(), KILL);
            }
            Some(_) => {}
            None if health.next.is_some_and(|next| next <= now) => {
                health.next = None;
                self.begin_check();
            }
            None => {}
        }
    }

    fn begin_check(&mut self) {
        let began = Moment::now();
        match self.start_check(began) {
            Ok(probe) => {
                if let Some(health) = &mut self.health {
                    health.probe = Some(probe);
                }
            }
            Err(error) => self.record_check(HealthEntry {
                start: began,
                end: Moment::now(),
                exit_code: NOT_FINISHED,
                output: error.to_string(),
            }),
        }
    }

    fn start_check(&mut self, began: Moment) -> Result<Probe> {
        let process = &self.config.process;
        let check = self.config.health.as_ref();
        let timeout = check.map_or(Duration::ZERO, |check| check.timeout);
        let request = ProcessRequest {
            argv: check.map_or_else(Vec::new, |check| check.command.clone()),
            env: environment::complete(&self.config.hostname, false, &[&process.env]),
            cwd: process.cwd.clone(),
            user: process.user.clone(),
            privileged: false,
        };
        let join = exec_join(&self.config, &self.files, &request, self.membership()?)?;
        let describe = || "making a pipe".to_owned();
        let (output, writer) = pipe_with(PipeFlags::CLOEXEC).context(describe)?;
        rustix::fs::fcntl_setfl(&output, rustix::fs::OFlags::NONBLOCK).context(describe)?;
        let stdio = Stdio::Files {
            stdin: self.null.try_clone().context(describe)?,
            stdout: writer.try_clone().context(describe)?,
            stderr: writer,
        };
        signal::ignore_broken_pipes(false);
        let joined = self.parent.join(self.init.pidfd.as_fd(), &join, stdio);
        signal::ignore_broken_pipes(true);
        let mut process = joined.map_err(|error| from_launch(&error))?;
        if let Err(error) = process.executed() {
            let _ = process.reap();
            return Err(from_launch(&error));
        }
        Ok(Probe {
            process,
            output: Some(output),
            collected: Vec::new(),
            began,
            deadline: Instant::now() + timeout,
            late: false,
        })
    }

    /// Takes the outcome of a check that has ended.
    fn end_check(&mut self) {
        let Some(mut probe) = self.health.as_mut().and_then(|health| health.probe.take()) else {
            return;
        };
        // What it left in the pipe; somebody else may hold the other end.
        probe.read();
        let code = match probe.process.reap() {
            Ok(Exit::Code(code)) => code,
            Ok(exit @ Exit::Signal(_)) => exit.shell_code(),
            Err(_) => NOT_FINISHED,
        };
        let output = if probe.late {
            let seconds = self
                .config
                .health
                .as_ref()
                .map_or(0.0, |check| check.timeout.as_secs_f64());
            format!("Health check exceeded timeout ({seconds}s)")
        } else {
            String::from_utf8_lossy(&probe.collected).into_owned()
        };
        self.record_check(HealthEntry {
            start: probe.began,
            end: Moment::now(),
            exit_code: if probe.late { NOT_FINISHED } else { code },
            output,
        });
    }

    /// Writes an outcome down and plans the next check.
    fn record_check(&mut self, entry: HealthEntry) {
        let Some(health) = &mut self.health else {
            return;
        };
        let tolerant = health.in_start_period();
        let retries = health.config.retries;
        let state = self.state.health.get_or_insert_with(HealthState::default);
        state.note(entry, retries, tolerant, REMEMBERED);
        health.plan_next(state.status == HealthStatus::Starting);
        // Only those who ask miss it when it can't be written.
        let _ = self.state.write(&self.directory, false);
    }
}
