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
use super::error::{Context, Error, Result};
use super::networks::{DEFAULT, random};
use super::pasta::Carried;

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

/// A namespace, and what it lives on.
#[derive(Debug)]
struct Made {
    namespace: Arc<OwnedFd>,
    /// Its addresses on a bridge.
    leases: Vec<Lease>,
    /// The host's address on its network.
    gateway: Option<IpAddr>,
    /// What carries its traffic where there are no bridges.
    carried: Option<Carried>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Arc<OwnedFd>>,
    leases: Vec<Lease>,
    /// The host's address on their network.
    gateway: Option<IpAddr>,
    carried: Vec<Carried>,
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
    /// Namespaces on the default network of the store at `root`, or for ordinary users such as `pasta` carries. `resolvers` are the name servers that steps will ask; a
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
        if state.refused.is_some() || state.coming.is_some() || state.has_some() {
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
            Ok(made) => {
                state.leases.extend(made.leases);
                state.gateway = made.gateway;
                state.carried.extend(made.carried);
                Ok(Some(self.lend(made.namespace, reusable)))
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

impl State {
    fn has_some(&self) -> bool {
        !self.leases.is_empty() || !self.carried.is_empty()
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
        let mut carried = std::mem::take(&mut state.carried);
        if let Some(Ok(Ok(more))) = state.coming.take().map(JoinHandle::join) {
            leases.extend(more.leases);
            carried.extend(more.carried);
        }
        release(&self.root, leases, None);
        carried.into_iter().for_each(Carried::end);
    }
}

fn make(root: &Path, resolvers: &[IpAddr]) -> Result<Made> {
    if crate::probe::in_user_namespace() {
        // Whatever keeps it from working, the host's network is there.
        let carried = Carried::create().map_err(|error| Error::Unavailable(error.to_string()))?;
        let namespace = carried.namespace.try_clone();
        return Ok(Made {
            namespace: Arc::new(namespace.context(|| "sharing a namespace".to_owned())?),
            leases: Vec::new(),
            gateway: None,
            carried: Some(carried),
        });
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
    Ok(Made {
        namespace: Arc::new(attached.namespace.descriptor),
        leases: attached.leases,
        gateway: attached.gateway,
        carried: None,
    })
}
