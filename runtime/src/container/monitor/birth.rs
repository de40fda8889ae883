//! The beginning of a monitor: everything that can fail does so before the starting command is told that the container runs.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::vec::IntoIter;

use rustix::fs::{FileType, fstat, fstatfs};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::Monitor;
use super::clients::Clients;
use super::exec::Execs;
use super::output::Output;
use super::spec::{Files, container_spec};
use crate::container::config::{Config, MountOrigin, NetworkMode};
use crate::container::control::{
    Channel, Listener, Reply, StartRequest, WireError, receive_descriptor, window_size,
};
use crate::container::error::{Context, Error, Result};
use crate::container::failure::from_launch;
use crate::container::lock::MonitorLock;
use crate::container::log::{LogWriter, Stream};
use crate::container::proxy::{Bound, Proxies, bind_all};
use crate::container::removal;
use crate::container::state::{ProcessIdentity, State};
use crate::{Parent, Spec, Started, Stdio};

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
            } = launched;
            let monitor = ProcessIdentity {
                pid: std::process::id().cast_signed(),
                pidfd_inode: None,
            };
            state.run(&request.boot_id, monitor, identity(&init), proxies.ports());
            if let Err(error) = state.write(&directory, false) {
                end_unrecorded(&init);
                return Err(error);
            }
            Ok(Monitor {
                parent,
                config,
                state,
                files: Files::new(request, &directory),
                directory,
                lock: Some(lock),
                listener: Some(listener),
                clients: Clients::default(),
                output,
                input,
                init,
                execs: Execs::default(),
                proxies,
                kill_at: None,
                ended: false,
            })
        }
        Err(error) => {
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
    let bound = if config.network == NetworkMode::Default {
        bind_all(&config.ports)?
    } else {
        Vec::new()
    };
    let null = descriptors.next().ok_or_else(missing)?;
    let mut output = Output::new(LogWriter::open(&directory.join("log"), config.log)?);
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
    let spec = container_spec(
        config,
        request,
        directory,
        detached_mounts(config, descriptors)?,
    )?;
    let listener =
        Listener::bind_here().context(|| "listening on the control socket".to_owned())?;
    let (init, input) = if config.process.terminal {
        launch_on_terminal(&mut parent, &spec, request, &mut output)?
    } else {
        launch_on_pipes(&mut parent, &spec, config, null, &mut output)?
    };
    let proxies = carry_ports(bound, &init)?;
    Ok(Launched {
        parent,
        init,
        output,
        input,
        listener,
        proxies,
    })
}

fn missing() -> Error {
    Error::Invalid("the start brought too few descriptors".to_owned())
}

/// The detached mounts of the container's binds with whether each is a directory.
fn detached_mounts(
    config: &Config,
    mut descriptors: IntoIter<OwnedFd>,
) -> Result<Vec<(OwnedFd, bool)>> {
    let binds = config
        .mounts
        .iter()
        .filter(|mount| matches!(mount.source, MountOrigin::Bind { .. }));
    binds
        .map(|bind| {
            let mount = descriptors.next().ok_or_else(missing)?;
            let kind = fstat(&mount)
                .context(|| format!("looking at the mount for {}", bind.target))?
                .st_mode;
            Ok((mount, FileType::from_raw_mode(kind) == FileType::Directory))
        })
        .collect()
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

/// Moves this process into the container's network for good, where all connections to published ports begin.
fn carry_ports(bound: Vec<Bound>, init: &Started) -> Result<Proxies> {
    if !bound.is_empty() {
        move_into_thread_name_spaces(init.pidfd.as_fd(), ThreadNameSpaceType::NETWORK)
            .context(|| "joining the container's network".to_owned())?;
    }
    Ok(Proxies::new(bound))
}

/// Nobody would ever find a process again that no record names.
fn end_unrecorded(init: &Started) {
    if rustix::process::pidfd_send_signal(&init.pidfd, rustix::process::Signal::KILL).is_ok() {
        let _ = init.reap();
    }
}

fn identity(process: &Started) -> ProcessIdentity {
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
