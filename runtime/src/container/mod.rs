//! Containers that outlive the command that made them, without a daemon.
//!
//! ```text
//! containers/<id>/config.json     what it is; written once
//!                 state.json      where it is in its life; replaced by rename
//!                 id              its id again: names/<name> is a hard link to it
//!                 upper/ work/    its writable layer, mounted volatile only when it can't start twice
//!                 etc/            its hosts, hostname and resolv.conf, which it may write to
//!                 log/            what it wrote (module `log`)
//!                 monitor.lock    locked as long as its monitor lives
//!                 control         the monitor's socket
//! names/<name>                    reserves a name
//! volumes/<name>/_data            volumes
//! ```
//!
//! Each running container has one small process, its monitor ([`monitor`]), which is forked by the zygote and is the parent of
//! the container's first process. Commands talk to it over its socket. There is no lock that two containers share: a container
//! appears by a rename, a name by a link, and whether something runs is asked of the kernel by way of the monitor's lock.

pub mod archive;
mod changes;
mod commit;
mod config;
mod containers;
mod control;
mod create;
mod damaged;
mod detach_keys;
mod difference;
mod environment;
mod error;
mod failure;
mod freeze;
mod id;
mod image_tree;
mod inspect;
mod lifecycle;
mod limits;
mod lock;
mod log;
mod logs;
pub mod monitor;
mod mounts;
mod name_files;
mod names;
mod networking;
mod own_files;
mod policy;
mod ports;
mod processes;
mod proxy;
mod quantity;
mod random;
mod ready;
mod recovery;
mod removal;
mod root;
mod session;
mod shared;
mod signals;
mod start;
mod state;
mod summary;
mod usage;
mod volumes;
mod waiting;
mod watch;

pub use changes::UpdateOptions;
pub use config::{
    Config, DnsConfig, Given, ImageOrigin, MountConfig, MountOrigin, NetworkMode, ProcessConfig,
};
pub use containers::{Container, Containers};
pub use create::{CreateOptions, Created, HealthOptions, LimitOptions};
pub use damaged::DamagedContainer;
pub use detach_keys::DetachKeys;
pub use difference::Change;
pub use error::{Error, Result};
pub use id::ContainerId;
pub use lifecycle::ExecOptions;
pub use limits::parse_rlimit;
pub use log::{LogLimits, LogLine, LogOptions, Stream};
pub use name_files::HostFiles;
pub use networking::ConnectOptions;
pub use policy::{DeviceConfig, HealthConfig, LogDriver, RestartPolicy};
pub use ports::{BoundPort, ContainerPort, PortMapping, Protocol};
pub use processes::ProcessStat;
pub use quantity::{human_duration, parse_duration, parse_size};
pub(crate) use random::fill as fill_random;
pub use root::ContainerRoot;
pub use session::{Local, Session, SessionEnd, TerminalHandle};
pub use shared::NamespaceMode;
pub use signals::parse_signal;
pub use start::{Attach, StartOptions};
pub use state::{HealthEntry, HealthState, HealthStatus, Moment, ProcessIdentity, State, Status};
pub use usage::Usage;
pub use volumes::{Volume, Volumes};
pub use waiting::WaitFor;
