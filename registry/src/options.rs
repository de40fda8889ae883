//! Plain settings of a client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::content::Splitting;
use crate::credentials::Credentials;
use crate::event::Event;
use crate::host::{HostMemory, UploadWay};
use crate::routes::Routes;
use crate::secret::SecretBytes;

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
    /// Mirrors, rewritten and blocked names.
    pub routes: Routes,
    /// Proxies; none by default. Loopback registries are never reached through one.
    pub proxies: Proxies,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Certificates of authorities (PEM texts, each may hold several) that are trusted besides the system's.
    pub certificate_authorities: Vec<Vec<u8>>,
    /// How large blobs are fetched.
    pub splitting: Splitting,
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
    /// The way in which blobs are sent first, to every registry that has no other in its own settings.
    pub upload: Option<UploadWay>,
    /// Keeps what is found out about registries from one run to the next.
    pub memory: Option<Arc<dyn HostMemory>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::anonymous(),
            hosts: BTreeMap::new(),
            routes: Routes::default(),
            proxies: Proxies::default(),
            user_agent: concat!("kiln/", env!("CARGO_PKG_VERSION")).to_owned(),
            certificate_authorities: Vec::new(),
            splitting: Splitting::default(),
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
            upload: None,
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostOptions {
    /// How it is spoken to; `None` means TLS, and plain HTTP for loopback names.
    pub tls: Option<Tls>,
    /// Further authorities for this registry (PEM texts).
    pub certificate_authorities: Vec<Vec<u8>>,
    /// Certificates that prove who we are, with their keys; the first one is shown.
    pub client_certificates: Vec<ClientCertificate>,
    /// Headers of every request to it, by name and value.
    pub headers: Vec<(String, String)>,
    /// The way in which blobs are sent first; `None` means what is known of the registry.
    pub upload: Option<UploadWay>,
    /// The proxy for this registry and what it sends on to, whatever its name and those of the other proxies.
    pub proxy: Option<Url>,
}

/// A client's own certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its authority (PEM).
    pub chain: Vec<u8>,
    /// Its private key (PEM).
    pub key: SecretBytes,
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
    /// Between two pieces of a body, in either direction; what moves less than a crawl in this time counts as standing still.
    pub stall: Duration,
    /// For the head of a mirror's answer, with everything before it: then the next place is asked.
    pub mirror: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            finish: Duration::from_secs(600),
            stall: Duration::from_secs(60),
            mirror: Duration::from_secs(10),
        }
    }
}
