//! What a step leaves to be done that no other step waits for: its records, the lock that says who does it, its mounts, what is left
//! of its tree.
//!
//! Concurrency: one thread does it in the order in which steps end, and is started by the first. A build ends when it is done.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::BuildError;

type Job = Box<dyn FnOnce() -> Result<(), BuildError> + Send>;

/// Does work behind the steps.
#[derive(Debug, Default)]
pub(crate) struct Afterwards(Mutex<Option<Worker>>);

#[derive(Debug)]
struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<Result<(), BuildError>>,
}

impl Afterwards {
    /// Does something when there is time for it.
    pub(crate) fn then(
        &self,
        job: impl FnOnce() -> Result<(), BuildError> + Send + 'static,
    ) -> Result<(), BuildError> {
        let mut worker = self.worker();
        let worker = match &mut *worker {
            Some(worker) => worker,
            none => none.insert(Worker::start()?),
        };
        // It takes jobs until it is told that no more come.
        worker
            .jobs
            .send(Box::new(job))
            .map_err(|_| BuildError::host("cannot finish a step", "its thread has ended"))
    }

    /// Waits until everything is done; the first failure counts.
    pub(crate) fn finish(&self) -> Result<(), BuildError> {
        let Some(Worker { jobs, thread }) = self.worker().take() else {
            return Ok(());
        };
        drop(jobs);
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn worker(&self) -> MutexGuard<'_, Option<Worker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn start() -> Result<Self, BuildError> {
        let (jobs, incoming) = channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("afterwards".to_owned())
            .spawn(move || {
                let mut outcome = Ok(());
                for job in incoming {
                    // One that fails keeps no other from being done.
                    outcome = outcome.and(job());
                }
                outcome
            })
            .map_err(|error| BuildError::host("cannot start a thread", error))?;
        Ok(Self { jobs, thread })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn all_is_done_in_order_and_the_first_failure_counts() {
        let after = Afterwards::default();
        assert!(after.finish().is_ok());
        let seen = Arc::new(Mutex::new(Vec::new()));
        for number in 0..20 {
            let seen = Arc::clone(&seen);
            let job = move || {
                seen.lock().unwrap().push(number);
                match number {
                    7 | 9 => Err(BuildError::host("number", number.to_string())),
                    _ => Ok(()),
                }
            };
            after.then(job).unwrap();
        }
        let failure = after.finish().unwrap_err().to_string();
        assert!(failure.contains('7'), "{failure}");
        assert_eq!(*seen.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert!(after.finish().is_ok());
    }
}
