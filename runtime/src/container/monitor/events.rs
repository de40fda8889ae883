//! The monitor's loop: one `poll` over everything that can happen.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Monitor;
use super::health::{Health, HealthToken};
use super::output::OutputToken;
use crate::container::networking::{Held, HeldToken};
use crate::container::proxy::ProxyToken;
use crate::sys::{process, signal};

/// SIGKILL.
const KILL: i32 = 9;

/// Whose descriptor became ready.
#[derive(Clone, Copy, Debug)]
enum Token {
    Listener,
    Client(u64),
    Output(OutputToken),
    Init,
    Exec(u64),
    Health(HealthToken),
    Proxy(ProxyToken),
    Network(HeldToken),
}

impl Monitor {
    /// Serves the container until it has ended and every attached client has its output.
    pub(super) fn watch(mut self) -> i32 {
        // A client that went away is an error of a write, not the end of the monitor.
        signal::ignore_broken_pipes(true);
        while !(self.ended && self.output.is_flushed()) {
            for (token, ready) in self.wait() {
                self.serve(token, ready);
            }
            self.output.tidy();
            self.on_time(Instant::now());
        }
        0
    }

    /// Waits until something is ready or a time has come.
    fn wait(&self) -> Vec<(Token, PollFlags)> {
        let mut tokens = Vec::new();
        let mut descriptors = Vec::new();
        let mut add = |token, descriptor, flags| {
            tokens.push(token);
            descriptors.push(PollFd::from_borrowed_fd(descriptor, flags));
        };
        self.output.interests(&mut |token, descriptor, flags| {
            add(Token::Output(token), descriptor, flags)
        });
        if !self.ended {
            // Execs before the container: its end waits for theirs.
            self.execs.interests(&mut |number, descriptor| {
                add(Token::Exec(number), descriptor, PollFlags::IN)
            });
            if let Some(health) = &self.health {
                health.interests(&mut |token, descriptor| {
                    add(Token::Health(token), descriptor, PollFlags::IN)
                });
            }
            if self.restarts.at.is_none() {
                add(Token::Init, self.init.pidfd.as_fd(), PollFlags::IN);
            }
            self.proxies.interests(&mut |token, descriptor, flags| {
                add(Token::Proxy(token), descriptor, flags)
            });
            if let Some(network) = &self.network {
                network.interests(&mut |token, descriptor, flags| {
                    add(Token::Network(token), descriptor, flags)
                });
            }
            if let Some(listener) = &self.listener {
                add(Token::Listener, listener.as_fd(), PollFlags::IN);
            }
            self.clients.interests(&mut |number, descriptor| {
                add(Token::Client(number), descriptor, PollFlags::IN)
            });
        }
        let timeout = self.timeout(Instant::now());
        if poll(&mut descriptors, timeout.as_ref()).is_err() {
            // Interrupted: look again.
            return Vec::new();
        }
        let ready = descriptors.iter().map(PollFd::revents);
        tokens
            .into_iter()
            .zip(ready)
            .filter(|(_, ready)| !ready.is_empty())
            .collect()
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let health = self.health.as_ref().and_then(Health::deadline);
        let network = self.network.as_ref().and_then(Held::deadline);
        let deadline = [
            self.kill_at,
            self.restarts.at,
            health,
            network,
            self.proxies.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()?;
        let left = deadline
            .saturating_duration_since(now)
            .min(Duration::from_secs(3600));
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    fn serve(&mut self, token: Token, ready: PollFlags) {
        match token {
            Token::Output(token) => self.output.serve(token, ready),
            // What follows can't matter any more once the end has been handled in the same round.
            _ if self.ended => {}
            Token::Exec(number) => self.end_exec(number),
            Token::Health(token) => self.serve_health(token),
            // Another event of this round may have ended it.
            Token::Init if self.restarts.at.is_some() => {}
            Token::Init => self.end(),
            Token::Proxy(token) => self.proxies.serve(token, ready),
            Token::Network(token) => {
                if let Some(network) = &mut self.network {
                    network.serve(token);
                }
            }
            Token::Listener => self.accept(),
            Token::Client(number) => self.serve_client(number),
        }
    }

    fn on_time(&mut self, now: Instant) {
        if self.kill_at.is_some_and(|time| time <= now) {
            self.kill_at = None;
            self.signal(KILL);
        }
        if !self.ended {
            self.health_on_time(now);
            self.restart_on_time(now);
        }
        self.proxies.expire(now);
        if let Some(network) = &mut self.network {
            network.expire(now);
        }
    }

    /// Sends a signal to the container's first process. It may have ended: its end is then about to be seen.
    pub(super) fn signal(&self, number: i32) {
        let _ = process::send_signal(self.init.pidfd.as_fd(), number);
    }
}
