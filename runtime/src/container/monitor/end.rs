//! The end of a container: nothing it wrote is lost, its exit code is on disk before anybody hears of it.

use std::path::Path;
use std::time::Duration;

use super::Monitor;
use crate::Parent;
use crate::cgroup::Cgroup;
use crate::container::config::Config;
use crate::container::proxy::Proxies;
use crate::container::removal;
use crate::container::state::State;

/// How long the kernel is given to take the last processes out of a cgroup.
const CGROUP_PATIENCE: Duration = Duration::from_millis(200);
/// How often the removal of a cgroup is tried, and the pause between: version 1 does not tell when it is empty.
const CGROUP_ATTEMPTS: u32 = 10;
const CGROUP_PAUSE: Duration = Duration::from_millis(2);

impl Monitor {
    /// Handles the end of the first process, and with it of every process of the container.
    pub(super) fn end(&mut self) {
        if !self.config.pid.is_private()
            && let Some(cgroup) = &self.cgroup
        {
            // Elsewhere the end of the first process ends them all. One that can't be killed is still there for `ps` to see.
            let _ = cgroup.kill();
        }
        self.end_execs();
        if let Some(health) = &mut self.health {
            health.abandon();
        }
        let exit = self.init.reap();
        self.output.drain();
        self.input = None;
        let (code, error) = match exit {
            Ok(exit) => (Some(exit.shell_code()), String::new()),
            Err(error) => (None, format!("the exit code was lost: {error}")),
        };
        self.state.oom_killed = self.cgroup.as_ref().is_some_and(Cgroup::out_of_memory);
        if self.comes_back(code) {
            self.rest(code, &error);
        } else {
            self.finish(code, &error);
        }
    }

    /// Ends this monitor's work: the container has ended for good.
    pub(super) fn finish(&mut self, code: Option<i32>, error: &str) {
        self.kill_at = None;
        self.restarts.at = None;
        self.proxies = Proxies::new(Vec::new());
        self.network = None;
        self.state.log_bytes_lost = self.output.lost();
        self.state.exit(code, error);
        if self.remove_cgroup() {
            self.state.cgroup = None;
        }
        self.record();
        // Who came while the end was handled is told too.
        self.accept();
        self.listener = None;
        self.lock = None;
        self.ended = true;
        self.clients.dismiss_all(self.state.shown_exit_code());
        if !self.config.auto_remove {
            // Nobody waits for this any more: it only keeps the exit code over a power cut.
            let _ = State::sync(&self.directory);
        }
    }

    /// Removes the cgroup, for which the kernel may need a moment; what is left is removed by the next start.
    fn remove_cgroup(&self) -> bool {
        let Some(cgroup) = &self.cgroup else {
            return true;
        };
        cgroup.wait_until_empty(CGROUP_PATIENCE);
        (0..CGROUP_ATTEMPTS).any(|attempt| {
            if attempt > 0 {
                std::thread::sleep(CGROUP_PAUSE);
            }
            cgroup.remove().is_ok()
        })
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
