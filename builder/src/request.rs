//! What a caller asks for: plain values, nothing found or read by this crate itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_runtime::Rlimit;
use kiln_store::{Platform, Reference};

use crate::cache::CacheLocation;
use crate::export::ImageOptions;

/// What stands for the machine itself in [`BuildRequest::extra_hosts`].
pub const HOST_GATEWAY: &str = "host-gateway";

/// One build: a Dockerfile, where its files come from, and the choices of its user.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The text of the Dockerfile.
    pub dockerfile: String,
    /// The name by which messages call it, normally its path as the user gave it.
    pub dockerfile_name: String,
    /// The directory that `COPY` and `ADD` take files from, if the build has one.
    pub context: Option<PathBuf>,
    /// What the context is from build to build when its directory is another one each time.
    pub context_identity: Option<String>,
    /// When the context's content was made, in seconds since 1970, if it is no directory of the user's.
    pub context_time: Option<i64>,
    /// The text of the ignore file that applies to the context.
    pub ignore: Option<String>,
    /// Further contexts by name (`--build-context name=...`).
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// The stage to build; the last one when absent.
    pub target: Option<String>,
    /// Values of build arguments, as given by the user. They beat every default.
    pub build_args: BTreeMap<String, String>,
    /// Labels added last, over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// The platform of the result; the machine's own when absent.
    pub platform: Option<Platform>,
    /// Further platforms: with any, the result is an index.
    pub more_platforms: Vec<Platform>,
    /// How the image is written to the store; none keeps it out of the store's images and gives it no names.
    pub image: Option<ImageOptions>,
    /// Names given to the result.
    pub tags: Vec<Reference>,
    /// Runs every step again, whatever the store remembers.
    pub no_cache: bool,
    /// Stages whose steps run again.
    pub no_cache_filter: Vec<String>,
    /// When base images are asked for at their registry.
    pub pull: PullPolicy,
    /// Seconds since 1970: every time in the result is this or earlier.
    pub source_date_epoch: Option<i64>,
    /// The present, in seconds since 1970, where it shows in results; the clock's when absent.
    pub present: Option<i64>,
    /// The network of `RUN` steps that name none.
    pub network: Network,
    /// How many steps run at once; chosen from the machine when absent.
    pub jobs: Option<usize>,
    /// Secrets that `RUN --mount=type=secret` may ask for, by id.
    pub secrets: BTreeMap<String, Secret>,
    /// Sockets of ssh agents that `RUN --mount=type=ssh` may ask for, by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Lines for `/etc/hosts` of `RUN` steps: name, and address or [`HOST_GATEWAY`].
    pub extra_hosts: Vec<(String, String)>,
    /// What a Dockerfile may ask for beyond the sandbox.
    pub allow: Allow,
    /// Bytes of `/dev/shm` in `RUN` steps; 64 MiB when absent.
    pub shm_size: Option<u64>,
    /// Limits of `RUN` steps.
    pub ulimits: Vec<Rlimit>,
    /// Follows BuildKit also where it is plainly wrong.
    pub strict: bool,
    /// Caches to read before anything runs.
    pub cache_from: Vec<CacheLocation>,
    /// Earlier results of steps that the build does not need are made present too, for a cache of all steps.
    pub all_results: bool,
    /// The image carries the records of its own layers.
    pub inline_cache: bool,
    /// A step that fails leaves a shell over its files before the build ends ([`crate::Host::shell`]).
    pub shell_on_error: bool,
    /// A shell in place of the step in this line of the Dockerfile, from 1; the build ends with it.
    pub shell_at: Option<usize>,
}

impl BuildRequest {
    /// Makes a request for this Dockerfile with every choice at its default.
    pub fn new(dockerfile: impl Into<String>) -> Self {
        Self {
            dockerfile: dockerfile.into(),
            dockerfile_name: "Dockerfile".to_owned(),
            context: None,
            context_identity: None,
            context_time: None,
            ignore: None,
            named_contexts: BTreeMap::new(),
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platform: None,
            more_platforms: Vec::new(),
            image: Some(ImageOptions::default()),
            tags: Vec::new(),
            no_cache: false,
            no_cache_filter: Vec::new(),
            pull: PullPolicy::default(),
            source_date_epoch: None,
            present: None,
            network: Network::default(),
            jobs: None,
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            extra_hosts: Vec::new(),
            allow: Allow::default(),
            shm_size: None,
            ulimits: Vec::new(),
            strict: false,
            cache_from: Vec::new(),
            all_results: false,
            inline_cache: false,
            shell_on_error: false,
            shell_at: None,
        }
    }
}

impl BuildRequest {
    /// This request once for each of its platforms.
    pub(crate) fn for_each_platform(&self) -> Vec<Self> {
        let platforms = std::iter::once(self.platform.clone())
            .chain(self.more_platforms.iter().cloned().map(Some));
        platforms
            .map(|platform| Self {
                platform,
                ..self.clone()
            })
            .collect()
    }
}

/// Where the files of a named context come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory, with the text of its own ignore file.
    Directory {
        /// Where it is.
        path: PathBuf,
        /// The text of its ignore file, if it has one.
        ignore: Option<String>,
    },
    /// An image.
    Image(Reference),
    /// An image in an OCI layout directory.
    Layout {
        /// The directory.
        path: PathBuf,
        /// The name or digest of the image there.
        image: String,
    },
    /// A repository, or a file on a web server, by its address.
    Remote(String),
    /// Another stage of the same file.
    Stage(String),
}

/// When base images are asked for at their registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Only those that the store does not have.
    #[default]
    Missing,
    /// Each of them, at each build.
    Always,
    /// None: an absent image is an error.
    Never,
}

/// The network of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The machine's network, closed to its local services by a Landlock scope.
    #[default]
    Default,
    /// A loopback interface and nothing else.
    None,
    /// The machine's network as it is; only when [`Allow::network_host`] is set.
    Host,
}

/// A secret: its content never enters a key, a record, a layer or a log.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Bytes that the caller holds.
    Value(Vec<u8>),
    /// A file that is read when a step asks for it.
    File(PathBuf),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(_) => formatter.write_str("Value(..)"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

/// What a Dockerfile may ask for beyond the sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allow {
    /// `RUN --network=host`.
    pub network_host: bool,
    /// `RUN --security=insecure`.
    pub security_insecure: bool,
}
