//! Namespaces for build steps: made beforehand, used again, and given up together at the end of the build.
//!
//! A step holds no capability over its namespace, so it leaves it as it found it; one that may have changed it is not used again.
//! Nothing is torn down while the build runs, nor at its end: the kernel takes away what nobody holds any more.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::attach::{Who, Wish, attach, release};
use super::bridge::Kernel;
use super::endpoint::Lease;
use super::error::{Error, Result};
use super::networks::{DEFAULT, random};

/// Who has these endpoints, as the default network shows them.
const NAME: &str = "build";

/// The namespaces of one build. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StepNetworks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    resolvers: Vec<IpAddr>,
    state: Mutex<State>,
}

/// A namespace, what keeps its addresses, and the host's address on its network.
type Made = (Arc<OwnedFd>, Vec<Lease>, Option<IpAddr>);

#[derive(Debug, Default)]
struct State {
    free: Vec<Arc<OwnedFd>>,
    leases: Vec<Lease>,
    /// The host's address on their network.
    gateway: Option<IpAddr>,
    /// One that is being made.
    coming: Option<JoinHandle<Result<Made>>>,
    /// Why there are none.
    refused: Option<String>,
    /// Whether a step wanted one.
    asked: bool,
}

/// A namespace that one step uses; it goes back when it is dropped.
#[derive(Debug)]
pub struct StepNetwork {
    namespace: Arc<OwnedFd>,
    pool: StepNetworks,
    reusable: bool,
}

impl StepNetworks {
    /// Namespaces on the default network of the store at `root`. `resolvers` are the name servers that steps will ask; a
    /// `refusal` says why there can be no namespaces at all.
    pub fn new(root: &Path, resolvers: Vec<IpAddr>, refusal: Option<String>) -> Self {
        let state = State {
            refused: refusal,
            ..State::default()
        };
        Self {
            inner: Arc::new(Inner {
                root: root.to_owned(),
                resolvers,
                state: Mutex::new(state),
            }),
        }
    }

    /// Makes the first namespace in the background: a step is about to run.
    pub fn warm(&self) {
        let mut state = self.state();
        if state.refused.is_some() || state.coming.is_some() || !state.leases.is_empty() {
            return;
        }
        let (root, resolvers) = (self.inner.root.clone(), self.inner.resolvers.clone());
        let thread = std::thread::Builder::new().name("network".to_owned());
        // Where no thread can be had, the first step makes its own.
        state.coming = thread.spawn(move || make(&root, &resolvers)).ok();
    }

    /// A namespace for a step; `None` where this machine has no bridges, see [`StepNetworks::refusal`].
    pub fn take(&self, reusable: bool) -> Result<Option<StepNetwork>> {
        let coming = {
            let mut state = self.state();
            state.asked = true;
            if state.refused.is_some() {
                return Ok(None);
            }
            if let Some(namespace) = state.free.pop() {
                return Ok(Some(self.lend(namespace, reusable)));
            }
            state.coming.take()
        };
        let made = match coming.map(JoinHandle::join) {
            Some(Ok(made)) => made,
            Some(Err(_)) | None => make(&self.inner.root, &self.inner.resolvers),
        };
        let mut state = self.state();
        match made {
            Ok((namespace, leases, gateway)) => {
                state.leases.extend(leases);
                state.gateway = gateway;
                Ok(Some(self.lend(namespace, reusable)))
            }
            Err(Error::Unavailable(reason)) => {
                state.refused = Some(reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Why steps have used the host's network, if some did.
    pub fn refusal(&self) -> Option<String> {
        let state = self.state();
        state.refused.clone().filter(|_| state.asked)
    }

    fn lend(&self, namespace: Arc<OwnedFd>, reusable: bool) -> StepNetwork {
        StepNetwork {
            namespace,
            pool: self.clone(),
            reusable,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepNetwork {
    /// The namespace.
    pub fn namespace(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.namespace)
    }

    /// The host as the step reaches it.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.pool.state().gateway
    }
}

impl Drop for StepNetwork {
    fn drop(&mut self) {
        if self.reusable {
            let namespace = Arc::clone(&self.namespace);
            self.pool.state().free.push(namespace);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut leases = std::mem::take(&mut state.leases);
        if let Some(Ok(Ok((_, more, _)))) = state.coming.take().map(JoinHandle::join) {
            leases.extend(more);
        }
        release(&self.root, leases, None);
    }
}

fn make(root: &Path, resolvers: &[IpAddr]) -> Result<Made> {
    if crate::probe::in_user_namespace() {
        return Err(Error::Unavailable("bridges need root".to_owned()));
    }
    Kernel::open()?;
    let bytes = random::<16>()?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let who = Who {
        id: &id,
        name: NAME,
    };
    let wish = Wish {
        network: DEFAULT.to_owned(),
        ..Wish::default()
    };
    let attached = attach(root, who, &[wish], false, resolvers)?;
    let namespace = Arc::new(attached.namespace.descriptor);
    Ok((namespace, attached.leases, attached.gateway))
}
