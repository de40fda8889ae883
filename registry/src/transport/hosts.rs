//! What is shared by all requests to one host: how many are under way, and a pause that the host asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use super::connect::Class;
use super::gate::{Gate, Held};

/// Small requests under way to one host at once; they share an HTTP/2 connection where there is one.
const METADATA_REQUESTS: usize = 32;

/// How many times wider than at the beginning a gate may become.
const WIDENING: usize = 3;

/// The state of every host that was spoken to.
#[derive(Debug)]
pub(crate) struct Hosts {
    transfers: usize,
    hosts: Mutex<HashMap<String, Arc<HostState>>>,
}

/// The state of one host.
#[derive(Debug)]
pub(crate) struct HostState {
    metadata: Arc<Gate>,
    downloads: Arc<Gate>,
    uploads: Arc<Gate>,
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
            let transfers = || Gate::new(self.transfers, self.transfers * WIDENING);
            Arc::new(HostState {
                metadata: Gate::new(METADATA_REQUESTS, METADATA_REQUESTS * WIDENING),
                downloads: transfers(),
                uploads: transfers(),
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
    pub(crate) async fn enter(&self, class: Class, method: &Method) -> Option<Held> {
        let gate = match class {
            Class::Metadata => &self.metadata,
            Class::Bulk if *method == Method::GET => &self.downloads,
            Class::Bulk => &self.uploads,
        };
        gate.enter().await
    }

    /// A place among the downloads, if one is free and the host asked for no pause.
    pub(crate) fn try_enter_download(&self) -> Option<Held> {
        if self.pause_left().is_some() {
            return None;
        }
        self.downloads.try_enter()
    }

    /// Lets nothing be sent to the host for a while, and less at once after that; a longer pause already set stays. True if there was none.
    pub(crate) fn pause(&self, wait: Duration) -> bool {
        // What was under way together is refused together: that counts once.
        let first = self.pause_left().is_none();
        if first {
            for gate in [&self.metadata, &self.downloads, &self.uploads] {
                gate.narrow();
            }
        }
        let until = Instant::now() + wait;
        let mut paused = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |known| known.max(until)));
        first
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
