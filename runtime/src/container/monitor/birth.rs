//! The beginning of a monitor: everything that can fail does so before the starting command is told that the container runs.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::vec::IntoIter;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::fs::{fstat, fstatfs};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::Monitor;
use super::again::Restarts;
use super::binds::Binds;
use super::clients::Clients;
use super::exec::Execs;
use super::health::Health;
use super::output::Output;
use super::spec::{Files, container_spec};
use crate::cgroup::{Cgroup, Membership};
use crate::container::config::{Config, MountConfig, MountOrigin};
use crate::container::control::{
    Channel, Listener, Reply, StartRequest, WireError, receive_descriptor, window_size,
};
use crate::container::error::{Context, Error, Result};
use crate::container::failure::from_launch;
use crate::container::lock::MonitorLock;
use crate::container::log::{LogWriter, Stream};
use crate::container::networking::Held;
use crate::container::own_files;
use crate::container::policy::LogDriver;
use crate::container::proxy::{Bound, Proxies, bind_all};
use crate::container::removal;
use crate::container::state::{ProcessIdentity, State};
use crate::{Network, Parent, Spec, Started, Stdio};

/// File system of pidfds whose inode numbers are unique (`PID_FS_MAGIC`).
const PID_FS_MAGIC: i64 = 0x5049_4446;

/// Starts the container; `None` when it could not be started, which the command has been told.
pub(super) fn begin(request: &[u8], descriptors: Vec<OwnedFd>, parent: Parent) -> Option<Monitor> {
    let request: StartRequest = serde_json::from_slice(request).ok()?;
    let mut descriptors = descriptors.into_iter();
    let channel = Channel::from_socket(descriptors.next()?);
    match start(&request, descriptors, parent) {
        Ok(mut monitor) => {
            monitor.welcome(channel, &request);
            Some(monitor)
        }
        Err(error) => {
            let _ = channel.send(&Reply::Failed(WireError::from(&error)), &[]);
            None
        }
    }
}

fn start(
    request: &StartRequest,
    descriptors: IntoIter<OwnedFd>,
    parent: Parent,
) -> Result<Monitor> {
    let directory = Path::new(Parent::STORE)
        .join("containers")
        .join(&request.id);
    let config = Config::read(&directory)?;
    let Some(lock) = MonitorLock::take(&directory.join("monitor.lock"))? else {
        return Err(Error::AlreadyRunning(config.name));
    };
    let mut state = State::read(&directory)?;
    match launch(request, descriptors, parent, &config, &directory) {
        Ok(launched) => {
            let Launched {
                parent,
                init,
                output,
                input,
                listener,
                proxies,
                binds,
                null,
                cgroup,
                network,
                processes,
            } = launched;
            state.cgroup.clone_from(&request.cgroup);
            let monitor = own_identity();
            state.run(&request.boot_id, monitor, identity(&init), proxies.ports());
            let health = config.health.as_ref().map(Health::new);
            state.health = health.as_ref().map(|_| Default::default());
            let mounts = mounts_to_keep(&config, &init);
            if let Err(error) = state.write(&directory, false) {
                end_unrecorded(&init);
                return Err(error);
            }
            Ok(Monitor {
                parent,
                config,
                state,
                request: request.clone(),
                files: Files::new(request, &directory),
                directory,
                binds,
                null,
                cgroup,
                health,
                restarts: Restarts::new(),
                lock: Some(lock),
                listener: Some(listener),
                clients: Clients::default(),
                output,
                input,
                init,
                execs: Execs::default(),
                proxies,
                network,
                processes,
                kill_at: None,
                ended: false,
                _mounts: mounts,
            })
        }
        Err(error) => {
            if let Some(record) = &request.cgroup {
                state.cgroup = Some(record.clone());
            }
            // As with docker: a container that could not be started is as if created, with the reason in its record.
            state.fail(error.exit_code(), &error.to_string());
            if config.auto_remove {
                removal::remove(Path::new(Parent::STORE), &config, true)?;
            } else {
                state.write(&directory, false)?;
            }
            Err(error)
        }
    }
}

/// What a successful launch gives.
struct Launched {
    parent: Parent,
    init: Started,
    output: Output,
    input: Option<OwnedFd>,
    listener: Listener,
    proxies: Proxies,
    binds: Binds,
    null: OwnedFd,
    cgroup: Option<Cgroup>,
    network: Option<Held>,
    processes: Option<Arc<OwnedFd>>,
}

/// What each start of a container needs.
pub(super) struct Launch<'a> {
    pub config: &'a Config,
    pub request: &'a StartRequest,
    pub directory: &'a Path,
    pub binds: &'a Binds,
    pub null: &'a OwnedFd,
    pub membership: Option<Membership>,
    pub network: Option<&'a Held>,
    /// A process in the namespace that its processes are to be in.
    pub processes: Option<&'a Arc<OwnedFd>>,
}

impl Launch<'_> {
    /// Starts the first process; the second result is where to write to it.
    pub(super) fn run(
        self,
        parent: &mut Parent,
        output: &mut Output,
    ) -> Result<(Started, Option<OwnedFd>)> {
        let mut spec = container_spec(
            self.config,
            self.request,
            self.directory,
            self.binds.sources()?,
            self.processes,
            self.membership,
        )?;
        if let Some(network) = self.network {
            spec.network = Network::Joined(network.namespace());
        }
        if self.config.process.terminal {
            launch_on_terminal(parent, &spec, self.request, output)
        } else {
            let null = self
                .null
                .try_clone()
                .context(|| "using the null device".to_owned())?;
            launch_on_pipes(parent, &spec, self.config, null, output)
        }
    }
}

fn launch(
    request: &StartRequest,
    mut descriptors: IntoIter<OwnedFd>,
    mut parent: Parent,
    config: &Config,
    directory: &Path,
) -> Result<Launched> {
    rustix::process::chdir(directory).context(|| format!("entering {}", directory.display()))?;
    // Ports first: a conflict is the likeliest failure, and these sockets must belong to the host's network.
    let mut bound = if config.network.publishes() {
        bind_all(&config.ports)?
    } else {
        Vec::new()
    };
    let null = descriptors.next().ok_or_else(missing)?;
    let log = match config.log_driver {
        LogDriver::Kept => Some(LogWriter::open(&directory.join("log"), config.log)?),
        LogDriver::None => None,
    };
    let mut output = Output::new(log);
    for (wanted, stream) in [
        (request.attach.stdout, Stream::Stdout),
        (request.attach.stderr, Stream::Stderr),
    ] {
        if wanted {
            output
                .add_sink(descriptors.next().ok_or_else(missing)?, stream)
                .context(|| "attaching".to_owned())?;
        }
    }
    let mut network = Held::receive(&request.network, &request.id, &mut descriptors)?;
    if let Some(held) = &mut network {
        lead_ports(held, &mut bound)?;
    }
    let processes = if request.joins_processes {
        Some(Arc::new(descriptors.next().ok_or_else(missing)?))
    } else {
        None
    };
    let binds = Binds::take(config, &mut descriptors)?;
    let cgroup = request
        .cgroup
        .clone()
        .map(|record| Cgroup::adopt(record, &mut descriptors).ok_or_else(missing))
        .transpose()?;
    let membership = match &cgroup {
        Some(cgroup) => Some(
            cgroup
                .membership()
                .context(|| "using the container's cgroup".to_owned())?,
        ),
        None => None,
    };
    let listener =
        Listener::bind_here().context(|| "listening on the control socket".to_owned())?;
    let first = Launch {
        config,
        request,
        directory,
        binds: &binds,
        null: &null,
        membership,
        network: network.as_ref(),
        processes: processes.as_ref(),
    };
    own_files::write(directory, config, request)?;
    let (init, input) = first.run(&mut parent, &mut output)?;
    let proxies = carry_ports(
        bound,
        network.as_ref().is_some_and(|held| !held.is_carried()),
        &init,
    )?;
    Ok(Launched {
        parent,
        init,
        output,
        input,
        listener,
        proxies,
        binds,
        null,
        cgroup,
        network,
        processes,
    })
}

fn missing() -> Error {
    Error::Invalid("the start brought too few descriptors".to_owned())
}

fn launch_on_terminal(
    parent: &mut Parent,
    spec: &Spec,
    request: &StartRequest,
    output: &mut Output,
) -> Result<(Started, Option<OwnedFd>)> {
    let describe = || "making the terminal".to_owned();
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .context(describe)?;
    let init = spawn(
        parent,
        spec,
        Stdio::Terminal {
            socket: theirs,
            size: window_size(request.size),
        },
    )?;
    let master = receive_descriptor(ours.as_fd()).context(describe)?;
    let input = master.try_clone().context(describe)?;
    output.add_source(master, Stream::Stdout);
    Ok((init, Some(input)))
}

fn launch_on_pipes(
    parent: &mut Parent,
    spec: &Spec,
    config: &Config,
    null: OwnedFd,
    output: &mut Output,
) -> Result<(Started, Option<OwnedFd>)> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).context(|| "making a pipe".to_owned());
    let (stdin, input) = if config.process.open_stdin {
        let (reader, writer) = pipe()?;
        (reader, Some(writer))
    } else {
        (null, None)
    };
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    for (reader, stream) in [(stdout, Stream::Stdout), (stderr, Stream::Stderr)] {
        fcntl_getfl(&reader)
            .and_then(|flags| fcntl_setfl(&reader, flags | OFlags::NONBLOCK))
            .context(|| "preparing a pipe".to_owned())?;
        output.add_source(reader, stream);
    }
    let init = spawn(
        parent,
        spec,
        Stdio::Files {
            stdin,
            stdout: their_stdout,
            stderr: their_stderr,
        },
    )?;
    Ok((init, input))
}

/// Starts the first process and waits until its program runs.
fn spawn(parent: &mut Parent, spec: &Spec, stdio: Stdio) -> Result<Started> {
    let mut init = parent
        .spawn(spec, stdio)
        .map_err(|error| from_launch(&error))?;
    match init.executed() {
        Ok(()) => Ok(init),
        Err(error) => {
            // It ends by itself; its status says nothing more.
            let _ = init.reap();
            Err(from_launch(&error))
        }
    }
}

/// Makes published ports lead to a container with addresses. What comes by the host's loopback is still carried.
fn lead_ports(network: &mut Held, bound: &mut Vec<Bound>) -> Result<()> {
    let Some(address) = network.address() else {
        if !network.is_carried() {
            bound.clear();
        }
        return Ok(());
    };
    if bound.is_empty() {
        return Ok(());
    }
    for port in &mut *bound {
        port.backend = Some(address);
    }
    network.publish(bound.iter().map(|bound| bound.port).collect())
}

/// Moves this process into a container's network that has no addresses for good, where all connections to published ports begin.
fn carry_ports(bound: Vec<Bound>, has_addresses: bool, init: &Started) -> Result<Proxies> {
    join_network(bound.is_empty() || has_addresses, init)?;
    Ok(Proxies::new(bound))
}

/// Moves this process into the container's network, unless it has nothing to do there.
pub(super) fn join_network(idle: bool, init: &Started) -> Result<()> {
    if idle {
        return Ok(());
    }
    move_into_thread_name_spaces(init.pidfd.as_fd(), ThreadNameSpaceType::NETWORK)
        .context(|| "joining the container's network".to_owned())
}

/// Who this process is.
pub(super) fn own_identity() -> ProcessIdentity {
    ProcessIdentity {
        pid: std::process::id().cast_signed(),
        pidfd_inode: None,
    }
}

/// Keeps the mounts of a container that is removed at its end, so that nobody has to wait until they are taken down. Not those of one
/// with mounts of the host: they may be in use no longer than the container is.
fn mounts_to_keep(config: &Config, init: &Started) -> Option<OwnedFd> {
    let binds = |mount: &MountConfig| matches!(mount.source, MountOrigin::Bind { .. });
    if !config.auto_remove || !config.devices.is_empty() || config.mounts.iter().any(binds) {
        return None;
    }
    crate::sys::process::mount_namespace(init.pidfd.as_fd()).ok()
}

/// Nobody would ever find a process again that no record names.
fn end_unrecorded(init: &Started) {
    if rustix::process::pidfd_send_signal(&init.pidfd, rustix::process::Signal::KILL).is_ok() {
        let _ = init.reap();
    }
}

pub(super) fn identity(process: &Started) -> ProcessIdentity {
    let unique =
        fstatfs(&process.pidfd).is_ok_and(|file_system| file_system.f_type == PID_FS_MAGIC);
    let pidfd_inode = if unique {
        fstat(&process.pidfd).ok().map(|status| status.st_ino)
    } else {
        None
    };
    ProcessIdentity {
        pid: process.pid.cast_signed(),
        pidfd_inode,
    }
}

impl Monitor {
    /// Tells the starting command that the container runs; it stays connected until the end.
    fn welcome(&mut self, channel: Channel, request: &StartRequest) {
        let input = self.input.as_ref().filter(|_| request.attach.stdin);
        let descriptors: Vec<_> = input.iter().map(|input| input.as_fd()).collect();
        let told = channel.send(&Reply::Started, &descriptors).is_ok();
        if told {
            self.clients.add(channel, true);
        }
        self.hand_input_over(request.attach.stdin);
    }
}
