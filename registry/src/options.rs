//! Plain settings of a client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::credentials::Credentials;
use crate::event::Event;
use crate::host::{HostMemory, UploadWay};

/// Receives events that belong to no single operation, such as a wait that a registry asked for.
pub type Notice = Arc<dyn Fn(Event) + Send + Sync>;

/// Receives the lines of a trace: requests with their answers and the reasons of choices, without secrets.
pub type Trace = Arc<dyn Fn(&str) + Send + Sync>;

/// Settings of a [`Client`](crate::Client).
#[derive(Clone)]
pub struct ClientOptions {
    /// Who we are where.
    pub credentials: Credentials,
    /// Settings of single registries, by their name in references (`docker.io`, `host:5000`).
    pub hosts: BTreeMap<String, HostOptions>,
    /// Proxies; none by default. Loopback registries are never reached through one.
    pub proxies: Proxies,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Certificates of authorities (PEM texts, each may hold several) that are trusted besides the system's.
    pub certificate_authorities: Vec<Vec<u8>>,
    /// The most blob transfers under way at once to or from one host.
    pub transfers_per_host: usize,
    /// How often a request is tried before its failure is final.
    pub attempts: u32,
    /// The first wait between two attempts; it doubles from there.
    pub first_backoff: Duration,
    /// The longest time that one request waits in total because a registry limits requests.
    pub longest_wait: Duration,
    /// Limits on every wait for the network.
    pub timeouts: Timeouts,
    /// Told about waits.
    pub notice: Option<Notice>,
    /// Told about every request and choice.
    pub trace: Option<Trace>,
    /// The most bytes of bodies that are moved in a second, in both directions together.
    pub limit_rate: Option<u64>,
    /// Keeps what is found out about registries from one run to the next.
    pub memory: Option<Arc<dyn HostMemory>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::anonymous(),
            hosts: BTreeMap::new(),
            proxies: Proxies::default(),
            user_agent: concat!("kiln/", env!("CARGO_PKG_VERSION")).to_owned(),
            certificate_authorities: Vec::new(),
            // Six hides the latency of small layers and already shares a fast line well (docker 3, skopeo 6).
            transfers_per_host: 6,
            attempts: 5,
            first_backoff: Duration::from_millis(200),
            // Docker Hub's windows are hours, its abuse limit minutes: a build may wait out the second kind.
            longest_wait: Duration::from_secs(300),
            timeouts: Timeouts::default(),
            notice: None,
            trace: None,
            limit_rate: None,
            memory: None,
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("credentials", &self.credentials)
            .field("hosts", &self.hosts)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

/// Settings of one registry.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// How it is spoken to; `None` means TLS, and plain HTTP for loopback names.
    pub tls: Option<Tls>,
    /// Further authorities for this registry (PEM texts).
    pub certificate_authorities: Vec<Vec<u8>>,
    /// The way in which blobs are sent first; `None` means what is known of the registry.
    pub upload: Option<UploadWay>,
}

/// How much a connection to a registry is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tls {
    /// TLS with a certificate that is checked.
    Verify,
    /// TLS with any certificate or, if the registry does not speak TLS, plain HTTP. What tools call "insecure".
    Insecure,
    /// Plain HTTP.
    Plain,
}

/// Proxies, as the usual environment variables name them; the caller reads those.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<Url>,
    /// For `https` URLs.
    pub https: Option<Url>,
    /// Hosts that are reached directly, separated by commas.
    pub no_proxy: String,
}

/// Limits on waiting.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, with TLS.
    pub connect: Duration,
    /// From the end of a request to the head of its answer.
    pub answer: Duration,
    /// The same after an upload: registries copy the blob within their storage before they answer.
    pub finish: Duration,
    /// Between two pieces of a body, in either direction.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            finish: Duration::from_secs(600),
            stall: Duration::from_secs(60),
        }
    }
}
