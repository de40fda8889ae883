//! Networks: bridges of the host that containers and build steps are connected to.
//!
//! ```text
//! networks/<name>/network.json            what it is; replaced by rename
//!                 lock                    held while its bridge, rules and addresses are changed
//!                 endpoints/<id>.json     who is connected, with addresses and ports; replaced by rename
//!                 endpoints/<id>.lock     locked as long as that one lives
//!                 last.json               the addresses that were given out last
//! ```
//!
//! What is in the kernel is made when it is needed and found again by name: a bridge per network, with a note that says whose it
//! is; a pair of devices per container, of which one end lies in the container's network namespace; the rules ([`rules`]).
//! Nothing is ever taken down on the way of a step or container: with the last reference to a namespace its devices go by
//! themselves, in the kernel's own time. An endpoint whose lock is free belongs to nobody, so that a killed process leaves nothing
//! that has to be repaired.
//!
//! Ordinary users have no bridges: what a namespace of theirs sends is carried by `pasta` ([`pasta`]).
//!
//! Names of containers are answered by their monitors ([`resolver`]).

mod ability;
mod attach;
mod bridge;
mod device;
mod endpoint;
mod error;
mod forwarding;
mod namespace;
mod netlink;
mod networks;
mod options;
mod pasta;
mod pool;
pub(crate) mod resolver;
mod rules;
mod subnet;
#[cfg(test)]
mod tests;

pub use ability::ability;
pub(crate) use attach::{Attached, Who, Wish, attach, connect, release};
pub(crate) use bridge::{Kernel, restore_rules};
pub(crate) use endpoint::Lease;
pub use error::{Error, Result};
pub(crate) use namespace::{Namespace, RESOLVER, ResolverSockets};
pub use networks::{DEFAULT, Network, Networks, Subnet};
pub use options::NetworkOptions;
pub use pasta::carrier;
pub(crate) use pasta::{Carried, become_guard};
pub use pool::{StepNetwork, StepNetworks};
pub(crate) use rules::RuleWatch;
