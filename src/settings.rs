//! Settings, resolved once: flags, then environment, then files, then defaults.
//!
//! This is the one place that reads environment variables and home directories; everything below takes
//! plain values.

mod registries;
mod remote;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kiln_runtime::userns::{EnterOptions, subordinate_ids};
use kiln_store::{OverlayXattrs, Store};

use crate::cli::GlobalArgs;
use crate::error::CommandError;

pub use registries::RegistryFiles;
pub use remote::Remote;

/// What every command needs to know about its surroundings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the store is.
    pub root: PathBuf,
    /// Docker's client configuration, the file that `login` writes.
    pub docker_config: Option<PathBuf>,
    /// Files with credentials, the first that answers wins.
    pub credential_files: Vec<PathBuf>,
    /// Proxies for registries.
    pub proxies: Proxies,
    /// What builds fetch files with.
    pub remote: Remote,
    /// Files that say how registries are reached.
    pub registry_files: RegistryFiles,
    /// Extra certificate authorities (`SSL_CERT_FILE`).
    pub certificate_file: Option<PathBuf>,
    /// Whether the process runs as the machine's root; root of a user namespace is not.
    pub is_root: bool,
    /// Whether the commands that touch layers do so in a user namespace of their own.
    pub own_namespace: bool,
    /// Where the machine's programs are.
    pub search_path: Vec<PathBuf>,
    /// What the file systems of this user can keep of an image's files.
    pub files: OverlayXattrs,
    /// Why no step or container can be run here, if none can.
    pub no_processes: Option<String>,
    /// Whether images are synced to disk before they are reported.
    pub durable: bool,
}

/// The variables that steps of a build see without declaring them (dockerfile reference, predefined ARGs).
const PROXY_VARIABLES: [&str; 5] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];

/// Proxy settings as the conventional variables give them.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `https` URLs.
    pub https: Option<String>,
    /// For `http` URLs.
    pub http: Option<String>,
    /// Hosts that are reached directly.
    pub exempt: Option<String>,
    /// All proxy variables as they are, for build steps.
    pub variables: Vec<(String, String)>,
}

impl Settings {
    /// Resolves the settings of one command.
    pub fn resolve(args: &GlobalArgs) -> Result<Self, CommandError> {
        let is_uid_0 = rustix::process::geteuid().is_root();
        let is_root = is_uid_0 && !kiln_runtime::probe::in_user_namespace();
        let home = variable("HOME").map(PathBuf::from);
        let root = match &args.root {
            Some(root) => std::path::absolute(root)?,
            None => default_root(is_uid_0, home.as_deref())?,
        };
        let docker_config = args
            .config
            .clone()
            .or_else(|| home.as_deref().map(|home| home.join(".docker")))
            .map(|folder| folder.join("config.json"));
        Ok(Self {
            credential_files: credential_files(docker_config.as_deref(), home.as_deref()),
            docker_config,
            remote: Remote::from_environment(home.as_deref()),
            proxies: Proxies::from_environment(),
            registry_files: RegistryFiles::from_environment(home.as_deref()),
            certificate_file: variable("SSL_CERT_FILE").map(PathBuf::from),
            is_root,
            own_namespace: !is_uid_0,
            search_path: variable("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            // Until the user namespace is entered, if it is.
            files: files(is_root, &root),
            no_processes: None,
            root,
            durable: args.durable,
        })
    }
}

impl Proxies {
    fn from_environment() -> Self {
        let read = |upper: &str, lower: &str| {
            variable(lower)
                .or_else(|| variable(upper))
                .and_then(|value| value.into_string().ok())
        };
        Self {
            https: read("HTTPS_PROXY", "https_proxy").or_else(|| read("ALL_PROXY", "all_proxy")),
            http: read("HTTP_PROXY", "http_proxy").or_else(|| read("ALL_PROXY", "all_proxy")),
            exempt: read("NO_PROXY", "no_proxy"),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .filter(|(name, _)| PROXY_VARIABLES.contains(&name.to_ascii_lowercase().as_str()))
                .collect(),
        }
    }
}

/// An environment variable that is set to something.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn default_root(is_uid_0: bool, home: Option<&Path>) -> Result<PathBuf, CommandError> {
    if is_uid_0 {
        return Ok(PathBuf::from("/var/lib/kiln"));
    }
    if let Some(data) = variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
    {
        return Ok(data.join("kiln"));
    }
    match home {
        Some(home) => Ok(home.join(".local/share/kiln")),
        None => Err(CommandError::usage(
            "no place for the store: neither HOME nor XDG_DATA_HOME is set",
        )
        .hint("choose one with `--root DIR` or KILN_ROOT")),
    }
}

/// How layers are kept: as root, with owners, or with owners recorded. A store stays as it was made.
fn files(is_root: bool, root: &Path) -> OverlayXattrs {
    if is_root {
        return match kiln_runtime::probe::may_mount() {
            true => OverlayXattrs::Trusted,
            // Overlay's own attributes take the same privilege as a mount.
            false => OverlayXattrs::User,
        };
    }
    let recorded =
        Store::records_owners(root).unwrap_or_else(|| match rustix::process::geteuid().is_root() {
            true => kiln_runtime::probe::has_single_id(),
            false => subordinate_ids(&EnterOptions::default()).is_err(),
        });
    match recorded {
        true => OverlayXattrs::Recorded,
        false => OverlayXattrs::User,
    }
}

/// The files in which people already have credentials, in the order in which podman and docker look.
fn credential_files(docker_config: Option<&Path>, home: Option<&Path>) -> Vec<PathBuf> {
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![PathBuf::from(file)];
    }
    let runtime =
        variable("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("containers/auth.json"));
    let config = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".config")))
        .map(|folder| folder.join("containers/auth.json"));
    [docker_config.map(Path::to_path_buf), runtime, config]
        .into_iter()
        .flatten()
        .collect()
}
