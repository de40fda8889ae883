//! `wait`: until a container does not run, until it ends the next time, or until it is gone.

use super::containers::Container;
use super::control::{Reply, Request};
use super::error::{Error, Result};
use super::state::{State, Status};
use super::watch::Watch;

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitFor {
    /// It does not run: at once, if it does not now.
    #[default]
    NotRunning,
    /// It has run, and ended.
    NextExit,
    /// It is gone.
    Removed,
}

impl Container {
    /// Waits for its end and gives its exit code.
    pub fn wait(&self) -> Result<i32> {
        self.wait_for(WaitFor::NotRunning)
    }

    /// Waits for what is asked for and gives the exit code of its last run.
    pub fn wait_for(&self, condition: WaitFor) -> Result<i32> {
        let watch = match condition {
            WaitFor::NotRunning => None,
            // From before the first look on: nothing is missed.
            WaitFor::NextExit | WaitFor::Removed => Watch::of(&self.directory)?,
        };
        let before = self.state().ok();
        let mut code = self.end_of_run()?;
        let Some(watch) = watch else { return Ok(code) };
        let has_run = |state: &State| {
            before.as_ref().is_none_or(|before| {
                before.status == Status::Running || state.finished != before.finished
            })
        };
        while self.directory.exists() {
            match self.state() {
                Ok(state) if state.status == Status::Running => {
                    code = self.end_of_run()?;
                    continue;
                }
                Ok(state) => {
                    code = state.shown_exit_code();
                    if condition == WaitFor::NextExit && has_run(&state) {
                        return Ok(code);
                    }
                }
                // It was removed meanwhile.
                Err(_) if !self.directory.exists() => break,
                Err(error) => return Err(error),
            }
            watch.wait(None)?;
        }
        Ok(code)
    }

    /// The exit code of the present run once that has ended, or of the last one.
    fn end_of_run(&self) -> Result<i32> {
        if let Some(channel) = self.connect()? {
            match self.ask(&channel, &Request::Wait, &[]) {
                Ok((Reply::Exited(code), _)) => return Ok(code),
                // It ended just then, or was killed: the record tells.
                Ok(_) | Err(Error::MonitorLost(_)) => {
                    return Ok(self.state_after_loss()?.shown_exit_code());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.state()?.shown_exit_code())
    }
}
