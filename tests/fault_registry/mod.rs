//! A registry in this process that behaves like the real ones, their bugs included, and fails where a test tells it to.
//!
//! ```text
//! profile   what one kind of registry does, as data     fault     what goes wrong, where and how often
//! http      requests and replies on a socket            state     repositories, uploads, counters
//! reads, uploads, manifests, tokens: the answers
//! ```
//!
//! Plain threads and blocking sockets, so that tests of any kind can use it. Nothing waits for a clock: a reply that "stands still" is held until the
//! client hangs up. Whatever the profile bends, content is checked: a blob is kept only under its digest, a manifest only if its blobs are there.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod fault;
mod http;
mod manifests;
pub mod profile;
mod reads;
mod state;
mod tokens;
mod uploads;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use kiln_store::Digest;

pub use fault::{Fault, On, What};
pub use profile::Profile;
use state::{Place, State};

/// A running registry; it stops with its value.
pub struct FaultRegistry {
    /// `127.0.0.1:<port>`.
    pub address: String,
    shared: Arc<Shared>,
    doors: Vec<SocketAddr>,
}

/// What all connections share.
pub(crate) struct Shared {
    profile: Profile,
    address: String,
    /// Where redirected blobs and foreign uploads live.
    storage: String,
    state: Mutex<State>,
    stopped: AtomicBool,
}

impl FaultRegistry {
    /// A registry of this kind, without faults.
    pub fn start(profile: &Profile) -> Self {
        let doors = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, storage] = [0, 1].map(|door: usize| doors[door].local_addr().unwrap());
        let shared = Arc::new(Shared {
            profile: profile.clone(),
            address: address.to_string(),
            storage: storage.to_string(),
            state: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        for (door, listener) in doors.into_iter().enumerate() {
            let shared = shared.clone();
            let place = if door == 0 {
                Place::Registry
            } else {
                Place::Storage
            };
            std::thread::spawn(move || accept(&listener, &shared, place));
        }
        Self {
            address: address.to_string(),
            shared,
            doors: vec![address, storage],
        }
    }

    /// A name in this registry.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Something that goes wrong from now on.
    pub fn fail(&self, fault: Fault) -> &Self {
        self.state(|state| state.faults.push(fault));
        self
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.state(|state| state.faults.clear());
    }

    /// Puts content there without a request.
    pub fn seed(
        &self,
        repository: &str,
        blobs: &[(Digest, Vec<u8>)],
        manifests: &[(&str, &str, &[u8])],
    ) {
        self.state(|state| {
            for (digest, bytes) in blobs {
                state.keep_blob(repository, &digest.to_string(), bytes.clone());
            }
            for (tag, media_type, bytes) in manifests {
                state.keep_manifest(repository, tag, media_type, bytes);
            }
        });
    }

    /// The bytes of a blob, if the repository has it.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.state(|state| state.blob(repository, &digest.to_string()).cloned())
    }

    /// The bytes of a manifest by tag or digest.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<Vec<u8>> {
        self.state(|state| {
            state
                .manifest(repository, name)
                .map(|(_, bytes)| bytes.clone())
        })
    }

    /// The requests so far: `METHOD target`, in the order of their arrival, those to the storage with `storage:` before them.
    pub fn requests(&self) -> Vec<String> {
        self.state(|state| state.log.clone())
    }

    /// The ranges of blobs that were asked for where their bytes are.
    pub fn ranges(&self) -> Vec<String> {
        self.state(|state| state.ranges.clone())
    }

    /// How many requests had this method and a target that contains this text.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let all = self.requests();
        let matching = all.iter().filter(|line| {
            let line = line.strip_prefix("storage:").unwrap_or(line);
            line.starts_with(method) && line.contains(part)
        });
        matching.count()
    }

    /// Forgets the requests and bytes counted so far.
    pub fn forget(&self) {
        self.state(|state| {
            state.log.clear();
            state.blob_bytes_sent = 0;
            state.upload_bytes_received = 0;
        });
    }

    /// Bytes of blobs written to clients.
    pub fn blob_bytes_sent(&self) -> u64 {
        self.state(|state| state.blob_bytes_sent)
    }

    /// Bytes of blobs read from clients.
    pub fn upload_bytes_received(&self) -> u64 {
        self.state(|state| state.upload_bytes_received)
    }

    /// Uploads that were begun and neither finished nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.state(|state| state.uploads.len())
    }

    /// Breaks of the protocol that the registry saw, such as credentials at the storage.
    pub fn complaints(&self) -> Vec<String> {
        self.state(|state| state.complaints.clone())
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.state.lock().unwrap())
    }
}

impl std::fmt::Debug for FaultRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultRegistry")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for FaultRegistry {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for door in &self.doors {
            // Wakes the thread that waits for a connection.
            let _ = TcpStream::connect(door);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, place: Place) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(stream) = stream {
            let shared = shared.clone();
            std::thread::spawn(move || http::serve(stream, &shared, place));
        }
    }
}
