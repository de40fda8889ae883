//! What the development tasks and the end-to-end tests share: acting as another user, running
//! commands with a time limit, ending what was started, scratch space on a tmpfs, a registry on
//! loopback.
//!
//! Everything started through these types ends with them, also when a test panics and when the
//! process is interrupted ([`interrupt`]).

pub mod background;
pub mod busybox;
pub mod console;
pub mod debian;
pub mod docker_registry;
pub mod dockerd;
pub mod identity;
pub mod interrupt;
pub mod kiln;
pub mod limits;
pub mod machine;
pub mod probe;
pub mod process;
pub mod program;
pub mod random;
pub mod scratch;
pub mod stage;
