//! What an operation cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts requests and bytes while they happen.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    waited_micros: AtomicU64,
}

impl Meter {
    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_wait(&self, wait: Duration) {
        self.waited_micros.fetch_add(
            u64::try_from(wait.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// The sums so far.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.waited_micros.load(Ordering::Relaxed)),
        }
    }
}

/// Requests and bytes of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// HTTP requests sent: tokens, redirects and repetitions included.
    pub requests: u64,
    /// Body bytes sent.
    pub sent: u64,
    /// Body bytes received.
    pub received: u64,
    /// Time spent waiting because a registry asked for it.
    pub waited: Duration,
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            sent: self.sent + other.sent,
            received: self.received + other.received,
            waited: self.waited + other.waited,
        }
    }
}
