//! Further processes in the container.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Monitor;
use super::spec::exec_join;
use crate::container::control::{ExecRequest, Reply, window_size};
use crate::container::error::{Error, Result};
use crate::container::failure::from_launch;
use crate::container::ready::is_readable;
use crate::sys::signal;
use crate::{LaunchError, Started, Stdio};

/// The execs under way.
#[derive(Debug, Default)]
pub(super) struct Execs {
    running: BTreeMap<u64, Exec>,
    next: u64,
}

#[derive(Debug)]
struct Exec {
    process: Started,
    /// The client that is told about the end.
    client: u64,
}

impl Execs {
    pub(super) fn interests<'a>(&'a self, add: &mut dyn FnMut(u64, BorrowedFd<'a>)) {
        for (&number, exec) in &self.running {
            add(number, exec.process.pidfd.as_fd());
        }
    }
}

impl Monitor {
    /// Starts a process for a client.
    pub(super) fn exec(
        &mut self,
        client: u64,
        request: &ExecRequest,
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        if self.restarts.at.is_some() {
            return Err(Error::Failed(format!(
                "Container {} is restarting, wait until the container is running",
                self.config.id
            )));
        }
        if self.state.paused {
            return Err(Error::Failed(format!(
                "Container {} is paused, unpause the container before exec",
                self.config.id
            )));
        }
        let membership = self.membership()?;
        let join = exec_join(&self.config, &self.files, &request.process, membership)?;
        let mut descriptors = descriptors.into_iter();
        let mut take = || {
            descriptors
                .next()
                .ok_or_else(|| Error::Invalid("the exec brought too few descriptors".to_owned()))
        };
        let stdio = match request.terminal {
            Some(size) => Stdio::Terminal {
                socket: take()?,
                size: window_size(size),
            },
            None => Stdio::Files {
                stdin: take()?,
                stdout: take()?,
                stderr: take()?,
            },
        };
        // The new process must not inherit what this one does with broken pipes.
        signal::ignore_broken_pipes(false);
        let joined = self.parent.join(self.init.pidfd.as_fd(), &join, stdio);
        signal::ignore_broken_pipes(true);
        let mut process = joined.map_err(|error| self.join_failed(&error))?;
        if let Err(error) = process.executed() {
            // Left unreaped it would keep the container from ending: its pid namespace waits for all its processes.
            let _ = process.reap();
            return Err(self.join_failed(&error));
        }
        self.execs.next += 1;
        self.execs
            .running
            .insert(self.execs.next, Exec { process, client });
        Ok(())
    }

    /// What it means that a process could not join: perhaps the first one ended just now, and nobody has looked yet.
    fn join_failed(&self, error: &LaunchError) -> Error {
        match error {
            LaunchError::Operation { .. } if is_readable(self.init.pidfd.as_fd()) => {
                Error::NotRunning(self.config.id.to_string())
            }
            other => from_launch(other),
        }
    }

    /// Starts a process that opens the container's root for a client.
    pub(super) fn hold_root(&mut self, client: u64, descriptors: Vec<OwnedFd>) -> Result<()> {
        let socket = descriptors.into_iter().next();
        let socket = socket
            .filter(|_| self.restarts.at.is_none())
            .ok_or_else(|| Error::NotRunning(self.config.id.to_string()))?;
        let process = self
            .parent
            .hold_root(self.init.pidfd.as_fd(), socket)
            .map_err(|error| from_launch(&error))?;
        self.execs.next += 1;
        self.execs
            .running
            .insert(self.execs.next, Exec { process, client });
        Ok(())
    }

    /// Takes the exit code of an exec and passes it on.
    pub(super) fn end_exec(&mut self, number: u64) {
        if let Some(exec) = self.execs.running.remove(&number) {
            let reply = match exec.process.reap() {
                Ok(exit) => Reply::Exited(exit.shell_code()),
                Err(error) => Reply::Failed((&from_launch(&error)).into()),
            };
            self.clients.dismiss(exec.client, &reply);
        }
    }

    /// Ends what is left: the container's end has killed them all.
    pub(super) fn end_execs(&mut self) {
        let numbers: Vec<_> = self.execs.running.keys().copied().collect();
        for number in numbers {
            self.end_exec(number);
        }
    }
}
