//! The distribution protocol: pull, push and copy between registries, image layouts and the content store.
//!
//! ```text
//! pull, push      what moves, in which order, what is skipped
//! content         the interface that a registry and a layout directory share
//! remote, layout  its two implementations
//! routes          mirrors, rewritten and blocked names: registries.conf, hosts.toml, certs.d
//! host            one registry: addresses, credentials, what it was seen to do
//! auth            challenges, tokens          credentials   config.json, auth.json, helpers
//! transport       every request: retries, limits, redirects, timeouts, counters, redaction
//! ```
//!
//! The crate is async (tokio); calls of the store run on blocking threads. It prints nothing, reads no environment and finds no files by itself:
//! credentials, certificates and proxies are given to [`ClientOptions`].

mod archive;
mod auth;
mod catalog;
mod client;
mod companions;
mod content;
mod copy;
pub mod credentials;
mod daemon;
mod delete;
mod directory;
mod download;
mod error;
mod event;
mod held;
mod host;
mod layers;
mod layout;
mod listed;
mod options;
mod origins;
mod place;
mod pull;
mod push;
mod recompress;
mod remote;
mod resume;
pub mod routes;
mod secret;
mod source;
mod stored;
mod transport;

pub use archive::{Archive, ArchiveStyle, ArchiveWriter};
pub use client::Client;
pub use content::{
    BlobSource, BlobUpload, ByteStream, Companions, ManifestName, Part, Placed, Repository,
    Resolved, Splitting, Turn,
};
pub use copy::{Conversion, Copied, CopyOptions, Platforms, copy};
pub use credentials::{AuthFile, Credential, Credentials};
pub use daemon::{Daemon, DaemonLoad};
pub use delete::{Deleted, delete_digest, delete_tag};
pub use directory::Directory;
pub use download::{Download, Validators, shown_url};
pub use error::{Error, OciError, Result, StatusError};
pub use event::{BlobOutcome, Event, Events};
pub use host::{HostKnowledge, HostMemory, UploadWay, parse_size};
pub use layout::Layout;
pub use options::{
    ClientCertificate, ClientOptions, HostOptions, Notice, Proxies, Timeouts, Tls, Trace,
};
pub use place::{Place, PlaceError};
pub use pull::{PullOptions, Pulled, pull, pull_from, refetch, small_blob};
pub use push::{PushOptions, Pushed, push, push_into};
pub use remote::{Access, RemoteRepository};
pub use secret::{Secret, SecretBytes};
pub use source::{BytesBlob, FileBlob, RepositoryBlob, StoredBlob};
pub use stored::StoredImages;
pub use transport::Traffic;
