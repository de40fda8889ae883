//! How many requests of one kind may be under way to a host: a number that grows while all goes well and halves when the host says that it is too much.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places, and how many there are now.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    width: Mutex<Width>,
}

#[derive(Debug)]
struct Width {
    now: usize,
    most: usize,
    /// Places that are taken away once they are left.
    owed: usize,
    /// Requests that went well since the last change, with all places taken.
    good: usize,
}

/// A place that is held.
#[derive(Debug)]
pub(crate) struct Held {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    /// A gate that begins with `start` places and may grow to `most`.
    pub(crate) fn new(start: usize, most: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(start)),
            width: Mutex::new(Width {
                now: start,
                most: most.max(start),
                owed: 0,
                good: 0,
            }),
        })
    }

    /// Waits for a place. `None` never happens: the semaphore is not closed.
    pub(crate) async fn enter(self: &Arc<Self>) -> Option<Held> {
        let permit = self.places.clone().acquire_owned().await.ok()?;
        Some(Held {
            gate: self.clone(),
            permit: Some(permit),
        })
    }

    /// A place, if there is one free.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Held> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        Some(Held {
            gate: self.clone(),
            permit: Some(permit),
        })
    }

    /// The host has had enough: half as many from now on, one at least.
    pub(crate) fn narrow(&self) {
        let mut width = self.width();
        let less = (width.now / 2).max(1);
        width.owed += width.now - less;
        (width.now, width.good) = (less, 0);
        while width.owed > 0 {
            match self.places.try_acquire() {
                Ok(permit) => permit.forget(),
                Err(_) => break,
            }
            width.owed -= 1;
        }
    }

    /// A request went well. One more place when as many as there are did, and all were wanted.
    fn went_well(&self) {
        let mut width = self.width();
        if self.places.available_permits() > 0 || width.now >= width.most {
            return;
        }
        width.good += 1;
        if width.good >= width.now {
            (width.now, width.good) = (width.now + 1, 0);
            if width.owed > 0 {
                width.owed -= 1;
            } else {
                self.places.add_permits(1);
            }
        }
    }

    fn width(&self) -> std::sync::MutexGuard<'_, Width> {
        self.width.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Notes that what the place was held for has ended well.
    pub(crate) fn went_well(&self) {
        self.gate.went_well();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut width = self.gate.width();
        if width.owed > 0
            && let Some(permit) = self.permit.take()
        {
            width.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fill(gate: &Arc<Gate>) -> Vec<Held> {
        let mut all = Vec::new();
        while gate.places.available_permits() > 0 {
            all.push(gate.enter().await.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn it_grows_while_all_goes_well_and_halves_when_told() {
        let gate = Gate::new(4, 6);
        for expect in [4, 5, 6, 6] {
            let all = fill(&gate).await;
            assert_eq!(all.len(), expect);
            all.iter().for_each(Held::went_well);
        }
        let all = fill(&gate).await;
        gate.narrow();
        drop(all);
        assert_eq!(fill(&gate).await.len(), 3);
        gate.narrow();
        gate.narrow();
        gate.narrow();
        assert_eq!(fill(&gate).await.len(), 1, "never none");
        // One at a time that leaves places free is no reason to grow.
        let wide = Gate::new(4, 6);
        for _ in 0..50 {
            wide.enter().await.unwrap().went_well();
        }
        assert_eq!(fill(&wide).await.len(), 4);
    }
}
