//! What builds need of the surroundings to fetch files: git, ssh, and the variables that concern them.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiln_builder::{ClientProvider, RemoteAccess};

use super::variable;

/// The variables that git, its transports and ssh may see. Everything else of the environment stays away from them.
const VARIABLES: &[&str] = &[
    "PATH",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_EXEC_PATH",
    "GIT_SSL_CAINFO",
];

/// Programs and files for fetching.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// The socket of the user's ssh agent.
    pub ssh_agent: Option<PathBuf>,
    git: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    known_hosts: Vec<PathBuf>,
}

impl Remote {
    pub(super) fn from_environment(home: Option<&Path>) -> Self {
        let path = variable("PATH").unwrap_or_default();
        let variables = VARIABLES
            .iter()
            .filter_map(|name| Some((OsString::from(name), variable(name)?)));
        let known = home.map(|home| home.join(".ssh/known_hosts"));
        Self {
            ssh_agent: variable("SSH_AUTH_SOCK").map(PathBuf::from),
            git: std::env::split_paths(&path)
                .map(|folder| folder.join("git"))
                .find(|program| is_program(program)),
            environment: variables.collect(),
            known_hosts: known
                .into_iter()
                .chain([PathBuf::from("/etc/ssh/ssh_known_hosts")])
                .collect(),
        }
    }

    /// The same for the builder, with a client for downloads.
    pub fn access(&self, client: ClientProvider) -> RemoteAccess {
        RemoteAccess {
            client: Some(client),
            git: self.git.clone(),
            environment: self.environment.clone(),
            known_hosts: self.known_hosts.clone(),
        }
    }
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
