//! What a monitor keeps of its container's network: the namespace, the endpoints, the name server, and an eye on the rules.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use std::vec::IntoIter;

use rustix::event::PollFlags;

use super::NetworkRequest;
use crate::Parent;
use crate::container::error::{Error, Result};
use crate::container::ports::BoundPort;
use crate::network::resolver::{Known, Resolver, ResolverToken, Wanted};
use crate::network::{self, Kernel, Lease, Networks, ResolverSockets, RuleWatch};

/// A network that is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    namespace: Arc<OwnedFd>,
    /// Keeps pasta alive, where that carries what the container sends.
    lifeline: Option<OwnedFd>,
    leases: Vec<Lease>,
    resolver: Option<Resolver>,
    /// Connections to the host's packet rules, from before the monitor may have gone elsewhere.
    kernel: Option<Kernel>,
    watch: Option<RuleWatch>,
}

/// Whose descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldToken {
    /// Somebody changed packet rules.
    Rules,
    /// The name server's.
    Resolver(ResolverToken),
}

impl Held {
    /// Takes over what the starting command set up; `None` if that is nothing.
    pub(crate) fn receive(
        request: &NetworkRequest,
        container: &str,
        descriptors: &mut IntoIter<OwnedFd>,
    ) -> Result<Option<Self>> {
        if !request.namespace {
            return Ok(None);
        }
        let mut take = || {
            let descriptor = descriptors.next();
            descriptor
                .ok_or_else(|| Error::Invalid("the start brought too few descriptors".to_owned()))
        };
        let mut held = Self {
            namespace: Arc::new(take()?),
            lifeline: match request.carried {
                true => Some(take()?),
                false => None,
            },
            leases: Vec::new(),
            resolver: None,
            kernel: None,
            watch: None,
        };
        let root = Path::new(Parent::STORE);
        for network in &request.networks {
            let directory = root.join("networks").join(network);
            let lease = Lease::received(&directory, network, container, take()?)?;
            held.leases.push(lease);
        }
        if let Some(upstreams) = &request.upstreams {
            let (udp, tcp) = (take()?, take()?);
            let sockets = ResolverSockets { udp, tcp };
            held.resolver = Some(Resolver::new(sockets, upstreams.clone()));
        }
        if !held.leases.is_empty() {
            held.kernel = Some(Kernel::open()?);
            held.watch = Some(RuleWatch::open()?);
        }
        Ok(Some(held))
    }

    /// The namespace to run in.
    pub(crate) fn namespace(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.namespace)
    }

    /// Whether published ports are reached by the container's loopback alone.
    pub(crate) fn is_carried(&self) -> bool {
        self.lifeline.is_some()
    }

    /// The address that published ports lead to; `None` where they can't.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.leases.first()?.endpoint.addresses().next()
    }

    /// Makes ports of the host lead to the container.
    pub(crate) fn publish(&mut self, ports: Vec<BoundPort>) -> Result<()> {
        if let (Some(lease), Some(kernel)) = (self.leases.first_mut(), &mut self.kernel) {
            lease.publish(Path::new(Parent::STORE), ports, kernel)?;
        }
        Ok(())
    }

    /// Keeps a further endpoint.
    pub(crate) fn add(&mut self, network: &str, container: &str, lock: OwnedFd) -> Result<()> {
        let directory = Path::new(Parent::STORE).join("networks").join(network);
        let lease = Lease::received(&directory, network, container, lock)?;
        self.leases.push(lease);
        if self.watch.is_none() {
            self.kernel = Some(Kernel::open()?);
            self.watch = Some(RuleWatch::open()?);
        }
        Ok(())
    }

    /// Gives the endpoint on one network back.
    pub(crate) fn remove(&mut self, network: &str) {
        let (gone, stay) = std::mem::take(&mut self.leases)
            .into_iter()
            .partition(|lease| lease.network == network);
        self.leases = stay;
        self.release(gone);
    }

    /// The descriptors to wait for and what for.
    pub(crate) fn interests<'a>(
        &'a self,
        add: &mut dyn FnMut(HeldToken, BorrowedFd<'a>, PollFlags),
    ) {
        if let Some(watch) = &self.watch {
            add(HeldToken::Rules, watch.as_fd(), PollFlags::IN);
        }
        if let Some(resolver) = &self.resolver {
            resolver.interests(&mut |token, descriptor, flags| {
                add(HeldToken::Resolver(token), descriptor, flags);
            });
        }
    }

    /// Serves a descriptor that is ready.
    pub(crate) fn serve(&mut self, token: HeldToken) {
        match token {
            HeldToken::Rules => self.restore(),
            HeldToken::Resolver(token) => {
                let Self {
                    leases, resolver, ..
                } = self;
                if let Some(resolver) = resolver {
                    resolver.serve(token, &|name, wanted| look_up(leases, name, wanted));
                }
            }
        }
    }

    /// When [`Held::expire`] should be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.resolver.as_ref().and_then(Resolver::deadline)
    }

    /// Gives up what took too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        if let Some(resolver) = &mut self.resolver {
            resolver.expire(now);
        }
    }

    /// Puts rules back that somebody removed. What fails now is tried again at the next change.
    fn restore(&mut self) {
        let (Some(watch), Some(kernel)) = (&self.watch, &mut self.kernel) else {
            return;
        };
        if watch.saw_removal() {
            for lease in &self.leases {
                let _ = network::restore_rules(Path::new(Parent::STORE), &lease.network, kernel);
            }
        }
    }

    fn release(&mut self, leases: Vec<Lease>) {
        network::release(Path::new(Parent::STORE), leases, self.kernel.as_mut());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        self.release(leases);
    }
}

/// What is known of a name or address on the networks of these endpoints. A record that can't be read is of nobody.
fn look_up(leases: &[Lease], name: &str, wanted: Wanted) -> Option<Known> {
    let networks = Networks::of(Path::new(Parent::STORE));
    let endpoints = leases.iter().flat_map(|lease| {
        let endpoints = networks.endpoints(&lease.network).unwrap_or_default();
        endpoints.into_iter().map(move |one| (lease, one))
    });
    if let Wanted::NameOf(address) = wanted {
        let mut endpoints = endpoints;
        return endpoints
            .find(|(_, one)| one.addresses().any(|own| own == address))
            .map(|(lease, one)| Known::Name(format!("{}.{}", one.name, lease.network)));
    }
    let mut addresses = Vec::new();
    for (lease, one) in endpoints {
        // Also by its full name, with the network's as its domain.
        let bare = name
            .strip_suffix(&format!(".{}", lease.network))
            .unwrap_or(name);
        if one.is_called(name) || one.is_called(bare) {
            addresses.extend(one.addresses());
        }
    }
    (!addresses.is_empty()).then_some(Known::Addresses(addresses))
}
