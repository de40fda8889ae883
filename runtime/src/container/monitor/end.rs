//! The end of a container: nothing it wrote is lost, its exit code is on disk before anybody hears of it.

use std::path::Path;

use super::Monitor;
use crate::Parent;
use crate::container::config::Config;
use crate::container::proxy::Proxies;
use crate::container::removal;
use crate::container::state::State;

impl Monitor {
    /// Handles the end of the first process, and with it of every process of the container.
    pub(super) fn end(&mut self) {
        self.end_execs();
        let exit = self.init.reap();
        self.output.drain();
        self.kill_at = None;
        self.proxies = Proxies::new(Vec::new());
        self.state.log_bytes_lost = self.output.log.lost;
        match exit {
            Ok(exit) => self.state.exit(Some(exit.shell_code()), ""),
            Err(error) => self
                .state
                .exit(None, &format!("the exit code was lost: {error}")),
        }
        self.record();
        // Who came while the end was handled is told too.
        self.accept();
        self.listener = None;
        self.lock = None;
        self.ended = true;
        self.input = None;
        self.clients.dismiss_all(self.state.shown_exit_code());
        if !self.config.auto_remove {
            // Nobody waits for this any more: it only keeps the exit code over a power cut.
            let _ = State::sync(&self.directory);
        }
    }

    /// Writes the end down, or removes the container with its record.
    fn record(&mut self) {
        // Its name may have changed since the start.
        if let Ok(config) = Config::read(&self.directory) {
            self.config = config;
        }
        if self.config.auto_remove
            && removal::remove(Path::new(Parent::STORE), &self.config, true).is_ok()
        {
            return;
        }
        // Should it fail (a full disk), the free lock still tells that nothing runs, and the next command marks the code as lost.
        let _ = self.state.write(&self.directory, false);
    }
}
