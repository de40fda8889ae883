//! A container's part in networks: what it is connected to, how that is set up at its start, what its monitor keeps of it.

mod asked;
mod change;
mod connections;
mod held;
mod prepare;

pub(crate) use asked::{Asked, dns, hostname};
pub use change::ConnectOptions;
pub(crate) use connections::Connections;
pub(crate) use held::{Held, HeldToken};
pub(crate) use prepare::{NetworkRequest, Prepared, prepare};
