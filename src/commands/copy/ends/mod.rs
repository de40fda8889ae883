//! The two ends of a copy: what a place is opened as, with its credentials.

mod source;
mod stored;
mod target;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_registry::{Client, ClientOptions, Place, Platforms};
use tokio::runtime::Runtime;

use crate::cli::{CopyArgs, OneSideArgs, SideArgs, TlsArgs};
use crate::error::CommandError;
use crate::host::{self, Host};
use crate::registries;
use crate::settings::Settings;

pub use source::Source;

/// What both ends of a copy are opened with.
pub struct Ends {
    /// The threads that talk to registries.
    pub network: Runtime,
    /// Where files without names go.
    pub scratch: PathBuf,
    settings: Settings,
    tls: TlsArgs,
    source: SideArgs,
    target: SideArgs,
    /// The platforms that were asked for by name, or `--all`.
    pub platforms: Option<Platforms>,
    /// What there is to say once a copy is done.
    notes: Mutex<Vec<String>>,
    /// Shared by both sides where their flags are the same, so that tokens and connections are.
    shared: Option<Client>,
}

impl Ends {
    /// The ends of a copy.
    pub fn new(args: &CopyArgs, settings: &Settings) -> Result<Self, CommandError> {
        let mut ends =
            Self::with_sides(args.source_side(), args.target_side(), &args.tls, settings)?;
        ends.platforms = args.wished_platforms()?;
        Ok(ends)
    }

    /// The ends for looking into one place.
    pub fn one_sided(
        side: SideArgs,
        tls: &TlsArgs,
        settings: &Settings,
    ) -> Result<Self, CommandError> {
        Self::with_sides(side.clone(), side, tls, settings)
    }

    fn with_sides(
        source: SideArgs,
        target: SideArgs,
        tls: &TlsArgs,
        settings: &Settings,
    ) -> Result<Self, CommandError> {
        let plain = |side: &SideArgs| one_side(side).says_nothing();
        let is_shared = plain(&source) && plain(&target);
        let mut ends = Self {
            network: host::network_threads()?,
            scratch: std::env::temp_dir(),
            settings: settings.clone(),
            tls: tls.clone(),
            source,
            target,
            platforms: None,
            notes: Mutex::default(),
            shared: None,
        };
        if is_shared {
            ends.shared = Some(Client::new(ends.client_options()?)?);
        }
        Ok(ends)
    }

    /// Settings of a client. What is known of registries is kept in the store, where there can be one.
    fn client_options(&self) -> Result<ClientOptions, CommandError> {
        let mut options = host::client_options(&self.settings, &self.tls)?;
        if let Ok(host) = Host::new(&self.settings, &self.tls) {
            options.memory = Some(Arc::new(host.store));
        }
        Ok(options)
    }

    /// A client for one side and registry.
    fn client(&self, side: &SideArgs, registry: &str) -> Result<Client, CommandError> {
        if let Some(client) = &self.shared {
            return Ok(client.clone());
        }
        let mut options = self.client_options()?;
        registries::apply_side(&mut options, registry, &one_side(side))?;
        Ok(Client::new(options)?)
    }

    /// Has something said once the copy is done.
    fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(text);
    }

    /// What there is to say, once.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A client for the source's side.
    pub fn source_client(&self, registry: &str) -> Result<Client, CommandError> {
        self.client(&self.source, registry)
    }

    /// A client for the target's side.
    pub fn target_client(&self, registry: &str) -> Result<Client, CommandError> {
        self.client(&self.target, registry)
    }
}

/// The flags of a side that say how its registry is reached.
fn one_side(side: &SideArgs) -> OneSideArgs {
    OneSideArgs {
        creds: side.creds.clone(),
        registry_token: side.registry_token.clone(),
        tls_verify: side.tls_verify,
        cert_dir: side.cert_dir.clone(),
    }
}

/// A failure, with what probably helps.
pub fn explain(error: CommandError, source: &Place, target: &Place) -> CommandError {
    match error.registry_refused() {
        Some(registry) => {
            let side = match (source, target) {
                (Place::Registry(source), _) if source.domain() == registry => "--src-creds",
                _ => "--dest-creds",
            };
            let hint = format!(
                "`kiln login {registry}` stores credentials; `{side}` gives them for one copy"
            );
            error.hint(hint)
        }
        None => error,
    }
}
