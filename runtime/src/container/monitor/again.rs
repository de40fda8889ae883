//! Starting a container again when its policy says so.

use std::time::{Duration, Instant};

use super::Monitor;
use super::birth::{self, Launch};
use super::health::Health;
use crate::container::config::Config;
use crate::container::error::Error;

/// The first pause before a restart; each further one in a row is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A container that ran so long is well: the pauses begin anew.
const STEADY: Duration = Duration::from_secs(10);

/// The restarts of a container.
#[derive(Debug)]
pub(super) struct Restarts {
    /// When its present run began.
    began: Instant,
    /// Restarts in a row after short runs.
    in_a_row: u32,
    /// When it is started again, while it does not run.
    pub(super) at: Option<Instant>,
}

impl Restarts {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            in_a_row: 0,
            at: None,
        }
    }

    fn pause(&self) -> Duration {
        FIRST_PAUSE
            .saturating_mul(1 << self.in_a_row.min(16))
            .min(LONGEST_PAUSE)
    }
}

impl Monitor {
    /// Whether a container that has ended is to be started again.
    pub(super) fn comes_back(&self, exit_code: Option<i32>) -> bool {
        // The policy may have been changed since the start.
        let policy = Config::read(&self.directory).map_or(self.config.restart, |new| new.restart);
        !self.state.stopped_by_user && policy.applies(exit_code, self.state.restart_count)
    }

    /// Waits for the time of the next start.
    pub(super) fn rest(&mut self, exit_code: Option<i32>, error: &str) {
        if self.restarts.began.elapsed() >= STEADY {
            self.restarts.in_a_row = 0;
        }
        let pause = self.restarts.pause();
        self.restarts.in_a_row = self.restarts.in_a_row.saturating_add(1);
        self.restarts.at = Instant::now().checked_add(pause);
        self.state.rest(exit_code, error);
        // The next start writes it again; until then a crash of this process is told as one.
        let _ = self.state.write(&self.directory, false);
        self.clients.dismiss_waiting(self.state.shown_exit_code());
        self.output.forget_clients();
    }

    /// Starts it again when the time has come.
    pub(super) fn restart_on_time(&mut self, now: Instant) {
        if self.restarts.at.is_none_or(|at| at > now) {
            return;
        }
        self.restarts.at = None;
        match self.launch_again() {
            Ok(()) => {}
            Err(error) => {
                let code = Some(error.exit_code());
                if self.comes_back(code) {
                    self.rest(code, &error.to_string());
                } else {
                    self.finish(code, &error.to_string());
                }
            }
        }
    }

    fn launch_again(&mut self) -> Result<(), Error> {
        self.restarts.began = Instant::now();
        self.state.restart_count += 1;
        let launch = Launch {
            config: &self.config,
            request: &self.request,
            directory: &self.directory,
            binds: &self.binds,
            null: &self.null,
            membership: self.membership()?,
            network: self.network.as_ref(),
            processes: self.processes.as_ref(),
        };
        crate::sys::signal::ignore_broken_pipes(false);
        let launched = launch.run(&mut self.parent, &mut self.output);
        crate::sys::signal::ignore_broken_pipes(true);
        let (init, input) = launched?;
        // With addresses, connections to published ports begin on the host.
        let leads = self.network.as_ref().is_some_and(|held| !held.is_carried());
        birth::join_network(self.proxies.is_empty() || leads, &init)?;
        let (count, ports) = (self.state.restart_count, self.proxies.ports());
        let monitor = birth::own_identity();
        self.state.run(
            &self.request.boot_id,
            monitor,
            birth::identity(&init),
            ports,
        );
        self.state.restart_count = count;
        self.init = init;
        self.input = input;
        self.health = self.config.health.as_ref().map(Health::new);
        self.state.health = self.health.as_ref().map(|_| Default::default());
        self.state.write(&self.directory, false)
    }
}
