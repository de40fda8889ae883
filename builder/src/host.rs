//! What a build needs of the machine, handed in by the caller.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_runtime::network::StepNetworks;
use kiln_runtime::{Exit, Launcher, Spec};
use kiln_store::{DiffId, Image, Platform, Reference, Store};

use crate::cancel::Cancel;
use crate::event::Sink;
use crate::registry_images::ClientProvider;
use crate::request::PullPolicy;

/// Starts the launcher of `RUN` steps, or returns the one that runs already. Called when the first step runs.
pub type LauncherProvider = Arc<dyn Fn() -> Result<Launcher, String> + Send + Sync>;

/// Runs a shell in the container of a step and gives the user's terminal to it, until it ends.
pub type ShellRunner = Arc<dyn Fn(&Launcher, &Spec) -> Result<Exit, String> + Send + Sync>;

/// Sees to it that programs of this platform can run here, or says why they cannot. Called before each step that needs it.
pub type EmulatorProvider = Arc<dyn Fn(&Platform) -> Result<(), String> + Send + Sync>;

/// Told of a layer that a step has just made. Called from the thread that works, so it must not block.
pub type LayerHook = Arc<dyn Fn(&DiffId) + Send + Sync>;

/// The machine's side of a build.
#[derive(Clone)]
pub struct Host {
    /// Where layers, images and records live.
    pub store: Store,
    /// How a launcher comes to be; a build with nothing to run never asks.
    pub launcher: LauncherProvider,
    /// Where base images come from.
    pub images: Arc<dyn Images>,
    /// How a shell in a step's container comes to be; none where nobody could use it.
    pub shell: Option<ShellRunner>,
    /// How programs of other processors can be run, where the machine's own settings may be added to.
    pub emulators: Option<EmulatorProvider>,
    /// Told of each new layer of the result as soon as it is made.
    pub layer_made: Option<LayerHook>,
    /// Ends the build when it is raised.
    pub cancel: Cancel,
    /// The directory that whole logs of steps are written to.
    pub logs: Option<PathBuf>,
    /// The resolver configuration that steps see, normally the machine's own.
    pub resolv_conf: Vec<u8>,
    /// Where steps get a network of their own from; without it, and where it has none, they use the machine's.
    pub networks: Option<StepNetworks>,
    /// How files from elsewhere are reached.
    pub remote: RemoteAccess,
    /// Proxy variables of the machine (`http_proxy=...`), handed to steps and kept out of keys and images.
    pub proxies: Vec<(String, String)>,
}

/// How files from elsewhere are reached: nothing can be by default.
#[derive(Clone, Default)]
pub struct RemoteAccess {
    /// A client for downloads.
    pub client: Option<ClientProvider>,
    /// The program `git`.
    pub git: Option<PathBuf>,
    /// What git and ssh need of the environment: the search path, proxies, certificate authorities.
    pub environment: Vec<(OsString, OsString)>,
    /// Files with the keys of ssh hosts.
    pub known_hosts: Vec<PathBuf>,
}

impl fmt::Debug for RemoteAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteAccess")
            .field("client", &self.client.is_some())
            .field("git", &self.git)
            .field("known_hosts", &self.known_hosts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Host")
            .field("store", &self.store.root())
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

/// Finds images and makes all of their layers present in the store.
pub trait Images: Send + Sync {
    /// Returns the image of that name for that platform, with its layers in the store.
    fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
        pull: PullPolicy,
        events: &dyn Sink,
    ) -> Result<Image, ImageError>;

    /// Returns the image of that name or digest in an OCI layout directory, with its layers in the store.
    fn layout(
        &self,
        directory: &Path,
        image: &str,
        _platform: &Platform,
        _events: &dyn Sink,
    ) -> Result<Image, ImageError> {
        let message = format!("{image} of {} can't be read", directory.display());
        Err(ImageError::NotFound(message))
    }
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Nobody has it: the name may be meant for something else.
    #[error("{0}")]
    NotFound(String),
    /// The registry or the store failed.
    #[error("{0}")]
    Failed(String),
}
