//! Who we are at which registry: docker's `config.json`, containers' `auth.json`, credential helpers, and names given for one command.
//!
//! Text in, values out. The caller finds and reads the files, and runs the helper programs; nothing here touches the file system, the
//! environment or a process.

mod config;
mod edit;
mod helper;
mod key;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

pub use config::AuthFile;
pub use edit::{remove_auth, set_auth};
pub use helper::{HelperOutput, HelperRequest, RunHelper, erase_from_helper, store_in_helper};
pub use key::{HUB_KEY, file_key};

use crate::error::Result;
use crate::secret::Secret;

/// What proves an identity to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user name and a password.
    Basic {
        /// The user name.
        username: String,
        /// The password or access token.
        password: Secret,
    },
    /// An identity (refresh) token: exchanged at the token service, never sent to the registry.
    Identity {
        /// The user name, if one is known.
        username: String,
        /// The token.
        token: Secret,
    },
    /// A bearer token that the registry itself takes.
    Registry(Secret),
}

impl Credential {
    /// The user name, if it has one.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::Basic { username, .. } | Self::Identity { username, .. }
                if !username.is_empty() =>
            {
                Some(username)
            }
            _ => None,
        }
    }
}

/// A credential and where it came from, for messages and traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The credential.
    pub credential: Credential,
    /// The file and key, the helper, or the command line.
    pub origin: String,
}

/// All known credentials, in order of precedence. Cheap to clone.
#[derive(Clone, Default)]
pub struct Credentials {
    given: Vec<(String, Credential)>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    files: Vec<AuthFile>,
    run_helper: Option<Box<RunHelper>>,
    /// What helpers answered, by (helper, server): a helper may take a second and ask for a fingerprint.
    answers: Mutex<HashMap<(String, String), Option<Credential>>>,
}

impl Credentials {
    /// No credentials: everything is asked for anonymously.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Credentials from these files; an entry in an earlier file wins. `run_helper` starts a credential helper.
    pub fn new(files: Vec<AuthFile>, run_helper: Option<Box<RunHelper>>) -> Self {
        Self {
            given: Vec::new(),
            shared: Arc::new(Shared {
                files,
                run_helper,
                answers: Mutex::default(),
            }),
        }
    }

    /// These credentials and one given for `registry` (`host[:port][/path]`) on the command line, which wins over files.
    #[must_use]
    pub fn with_given(mut self, registry: &str, credential: Credential) -> Self {
        self.given.insert(0, (key::normalize(registry), credential));
        self
    }

    /// The credential for a repository of a registry. Blocking: it may run a helper.
    ///
    /// `registry` is the name as in references (`docker.io`, `host:5000`). The longest matching `host/path` key wins, then the host's helper, then
    /// the default helper, then the host's own entry; in each file in turn.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Found>> {
        let keys = key::candidates(registry, repository);
        for key in &keys {
            if let Some((_, credential)) = self.given.iter().find(|(given, _)| given == key) {
                return Ok(Some(Found {
                    credential: credential.clone(),
                    origin: "the command line".to_owned(),
                }));
            }
        }
        for file in &self.shared.files {
            if let Some(found) = self.find_in_file(file, &keys)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in_file(&self, file: &AuthFile, keys: &[String]) -> Result<Option<Found>> {
        let Some(host) = keys.last() else {
            return Ok(None);
        };
        for key in keys.iter().filter(|key| *key != host) {
            if let Some(credential) = file.entry(key) {
                return Ok(Some(Found {
                    credential: credential.clone(),
                    origin: format!("{} ({key})", file.origin()),
                }));
            }
        }
        if let (Some(helper), Some(run)) = (file.helper_for(host), &self.shared.run_helper) {
            let server = key::helper_server(host);
            let slot = (helper.to_owned(), server.to_owned());
            // The lock is held while the helper runs: two requests must not ask twice.
            let mut answers = self
                .shared
                .answers
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let answer = match answers.get(&slot) {
                Some(answer) => answer.clone(),
                None => {
                    let answer = helper::get(run, helper, server)?;
                    answers.insert(slot, answer.clone());
                    answer
                }
            };
            if let Some(credential) = answer {
                return Ok(Some(Found {
                    credential,
                    origin: format!("docker-credential-{helper} ({server})"),
                }));
            }
        }
        Ok(file.entry(host).map(|credential| Found {
            credential: credential.clone(),
            origin: format!("{} ({host})", file.origin()),
        }))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&str> = self.shared.files.iter().map(AuthFile::origin).collect();
        f.debug_struct("Credentials")
            .field("given", &self.given.len())
            .field("files", &files)
            .finish()
    }
}

#[cfg(test)]
mod tests;
