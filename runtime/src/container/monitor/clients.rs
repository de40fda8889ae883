//! The clients of the control socket.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::Monitor;
use crate::container::control::{AttachRequest, Channel, Reply, Request, WireError};
use crate::container::error::{Context, Error, Result};
use crate::container::log::Stream;
use crate::container::signals::KILL;

/// Connections at once; more are closed at the door.
const MAX_CLIENTS: usize = 256;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Clients {
    connections: BTreeMap<u64, Client>,
    next: u64,
}

#[derive(Debug)]
struct Client {
    channel: Channel,
    /// Its request was taken and it waits for something to end.
    waiting: bool,
}

impl Clients {
    /// Adds a connection; `waiting` when it has made its request already.
    pub(super) fn add(&mut self, channel: Channel, waiting: bool) {
        if self.connections.len() < MAX_CLIENTS {
            self.next += 1;
            self.connections
                .insert(self.next, Client { channel, waiting });
        }
    }

    pub(super) fn interests<'a>(&'a self, add: &mut dyn FnMut(u64, BorrowedFd<'a>)) {
        for (&number, client) in &self.connections {
            add(number, client.channel.as_fd());
        }
    }

    /// Answers a client. One that does not listen is forgotten.
    pub(super) fn reply(&mut self, number: u64, reply: &Reply, descriptors: &[BorrowedFd<'_>]) {
        if let Some(client) = self.connections.get(&number)
            && client.channel.send(reply, descriptors).is_err()
        {
            self.connections.remove(&number);
        }
    }

    /// Answers a client for the last time.
    pub(super) fn dismiss(&mut self, number: u64, reply: &Reply) {
        self.reply(number, reply, &[]);
        self.connections.remove(&number);
    }

    /// Tells everybody that the container has ended. It answers every request, also those that were not read any more.
    pub(super) fn dismiss_all(&mut self, exit_code: i32) {
        for client in std::mem::take(&mut self.connections).into_values() {
            let _ = client.channel.send(&Reply::Exited(exit_code), &[]);
        }
    }

    /// Tells those who wait that the container has ended for now; a request that was not read yet is answered later.
    pub(super) fn dismiss_waiting(&mut self, exit_code: i32) {
        self.connections.retain(|_, client| {
            if client.waiting {
                let _ = client.channel.send(&Reply::Exited(exit_code), &[]);
            }
            !client.waiting
        });
    }

    /// Takes a request; `None` when the client is gone or does not keep to the rules.
    fn take_request(&mut self, number: u64) -> Option<(Request, Vec<OwnedFd>)> {
        let client = self.connections.get_mut(&number)?;
        let request = if client.waiting {
            None
        } else {
            client.channel.receive().ok().flatten()
        };
        client.waiting = true;
        if request.is_none() {
            self.connections.remove(&number);
        }
        request
    }
}

impl Monitor {
    /// Takes the connections that wait.
    pub(super) fn accept(&mut self) {
        while let Some(listener) = &self.listener
            && let Ok(Some(channel)) = listener.accept()
        {
            self.clients.add(channel, false);
        }
    }

    /// Serves a client that sent something or went away.
    pub(super) fn serve_client(&mut self, number: u64) {
        let Some((request, descriptors)) = self.clients.take_request(number) else {
            return;
        };
        match request {
            Request::Signal(_) if self.restarts.at.is_some() => {
                let error = Error::NotRunning(self.config.id.to_string());
                self.clients
                    .dismiss(number, &Reply::Failed(WireError::from(&error)));
            }
            Request::Signal(signal) => {
                if signal == KILL || signal == self.config.stop_signal {
                    self.mark_stopped();
                }
                self.signal(signal);
                self.clients.dismiss(number, &Reply::Done);
            }
            Request::Stop { .. } if self.restarts.at.is_some() => {
                self.mark_stopped();
                let (code, error) = (self.state.exit_code, self.state.error.clone());
                self.finish(code, &error);
            }
            Request::Paused(paused) => {
                self.state.paused = paused;
                let reply = match self.state.write(&self.directory, false) {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Failed(WireError::from(&error)),
                };
                self.clients.dismiss(number, &reply);
            }
            Request::Stop { signal, timeout } => {
                self.mark_stopped();
                self.signal(signal.unwrap_or(self.config.stop_signal));
                // A second stop may be more patient or less; the last one counts.
                self.kill_at = timeout.and_then(|milliseconds| {
                    Instant::now().checked_add(Duration::from_millis(milliseconds))
                });
            }
            Request::Wait => {}
            Request::Attach(request) => match self.attach(request, descriptors) {
                Ok(()) => {
                    let input = self.input.as_ref().filter(|_| request.stdin);
                    let descriptors: Vec<_> = input.iter().map(|input| input.as_fd()).collect();
                    self.clients.reply(number, &Reply::Started, &descriptors);
                    self.hand_input_over(request.stdin);
                }
                Err(error) => self
                    .clients
                    .dismiss(number, &Reply::Failed(WireError::from(&error))),
            },
            Request::Connect(network) => {
                let reply = match self.keep_endpoint(&network, descriptors) {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Failed(WireError::from(&error)),
                };
                self.clients.dismiss(number, &reply);
            }
            Request::Disconnect(network) => {
                if let Some(held) = &mut self.network {
                    held.remove(&network);
                }
                self.clients.dismiss(number, &Reply::Done);
            }
            Request::Root => match self.hold_root(number, descriptors) {
                Ok(()) => self.clients.reply(number, &Reply::Started, &[]),
                Err(error) => self
                    .clients
                    .dismiss(number, &Reply::Failed(WireError::from(&error))),
            },
            Request::Exec(request) => match self.exec(number, &request, descriptors) {
                Ok(()) => self.clients.reply(number, &Reply::Started, &[]),
                Err(error) => self
                    .clients
                    .dismiss(number, &Reply::Failed(WireError::from(&error))),
            },
        }
    }

    fn keep_endpoint(&mut self, network: &str, descriptors: Vec<OwnedFd>) -> Result<()> {
        let lock = descriptors.into_iter().next();
        match (&mut self.network, lock) {
            (Some(held), Some(lock)) => held.add(network, self.config.id.as_str(), lock),
            _ => Err(Error::Invalid(
                "the container has no network that could be connected".to_owned(),
            )),
        }
    }

    /// Connects a client's pipes to the output.
    pub(super) fn attach(
        &mut self,
        request: AttachRequest,
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let mut descriptors = descriptors.into_iter();
        for (wanted, stream) in [
            (request.stdout, Stream::Stdout),
            (request.stderr, Stream::Stderr),
        ] {
            if wanted && let Some(pipe) = descriptors.next() {
                self.output
                    .add_sink(pipe, stream)
                    .context(|| "attaching".to_owned())?;
            }
        }
        Ok(())
    }

    /// The end of input of the first client that writes is the container's, when it was made so.
    pub(super) fn hand_input_over(&mut self, writes: bool) {
        if writes && self.config.process.stdin_once && !self.config.process.terminal {
            self.input = None;
        }
    }

    /// Remembers that a person wanted the container to end.
    fn mark_stopped(&mut self) {
        if !self.state.stopped_by_user {
            self.state.stopped_by_user = true;
            // Only a restart after a reboot looks at it: a failure here must not keep the container from being stopped.
            let _ = self.state.write(&self.directory, false);
        }
    }
}
