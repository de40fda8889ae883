//! What is shared by all requests to one host: how many are under way, and a pause that the host asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connect::Class;

/// Small requests under way to one host at once; they share an HTTP/2 connection where there is one.
const METADATA_REQUESTS: usize = 32;

/// The state of every host that was spoken to.
#[derive(Debug)]
pub(crate) struct Hosts {
    transfers: usize,
    hosts: Mutex<HashMap<String, Arc<HostState>>>,
}

/// The state of one host.
#[derive(Debug)]
pub(crate) struct HostState {
    metadata: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    paused_until: Mutex<Option<Instant>>,
}

impl Hosts {
    pub(crate) fn new(transfers: usize) -> Self {
        Self {
            transfers: transfers.max(1),
            hosts: Mutex::default(),
        }
    }

    /// The state of a host (`name:port`).
    pub(crate) fn get(&self, host: &str) -> Arc<HostState> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let state = hosts.entry(host.to_owned()).or_insert_with(|| {
            Arc::new(HostState {
                metadata: Arc::new(Semaphore::new(METADATA_REQUESTS)),
                downloads: Arc::new(Semaphore::new(self.transfers)),
                uploads: Arc::new(Semaphore::new(self.transfers)),
                paused_until: Mutex::new(None),
            })
        });
        state.clone()
    }
}

impl HostState {
    /// Waits for a place. `None` never happens: the semaphores are not closed.
    ///
    /// Downloads and uploads have places of their own: an upload that is fed by a download from the same host holds one of each.
    pub(crate) async fn enter(
        &self,
        class: Class,
        method: &Method,
    ) -> Option<OwnedSemaphorePermit> {
        let semaphore = match class {
            Class::Metadata => &self.metadata,
            Class::Bulk if *method == Method::GET => &self.downloads,
            Class::Bulk => &self.uploads,
        };
        semaphore.clone().acquire_owned().await.ok()
    }

    /// Lets nothing be sent to the host for a while; a longer pause already set stays.
    pub(crate) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut paused = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |known| known.max(until)));
    }

    /// What is left of the pause.
    pub(crate) fn pause_left(&self) -> Option<Duration> {
        let until = (*self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner))?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}
