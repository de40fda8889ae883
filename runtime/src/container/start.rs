//! Starting a container: its monitor is born, and says whether the container runs.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use rustix::pipe::{PipeFlags, pipe_with};

use super::Containers;
use super::config::{Config, MountOrigin};
use super::containers::Container;
use super::control::{AttachRequest, Channel, Reply, StartRequest};
use super::create::relative_lowers;
use super::error::{Context, Error, Result};
use super::image_tree::{self, ImageTree};
use super::log::Stream;
use super::name_files::{self, HostFiles};
use super::networking;
use super::session::Session;
use super::state::{Status, boot_id};
use crate::cgroup::{Cgroup, Created};
use crate::{Launcher, MountSource, WindowSize};

/// Which of a container's streams the caller wants to be connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Wants to write to it.
    pub stdin: bool,
    /// Wants its output, and with a terminal everything it shows.
    pub stdout: bool,
    /// Wants its errors.
    pub stderr: bool,
}

impl Attach {
    /// Output and errors.
    pub const OUTPUT: Self = Self {
        stdin: false,
        stdout: true,
        stderr: true,
    };
}

/// How to start a container.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Streams to be connected to from the first byte on.
    pub attach: Attach,
    /// Size of its terminal.
    pub size: WindowSize,
    /// The host's name files.
    pub host_files: HostFiles,
}

impl Containers {
    /// Starts a container. When this returns its program runs, and its ports are open. Dropping the session leaves it running.
    pub fn start(
        &self,
        container: &Container,
        launcher: &Launcher,
        options: &StartOptions,
    ) -> Result<Session> {
        let config = container.config();
        if container.state()?.status == Status::Running {
            return Err(Error::AlreadyRunning(config.name.clone()));
        }
        let tree = ImageTree::open(&self.store, &config.image.layers)?;
        let (attach, pipes) = Pipes::open(
            options.attach,
            config.process.terminal,
            config.process.open_stdin,
        )?;
        let processes = self.joined_processes(config)?;
        let mut network = networking::prepare(self, container, &options.host_files)?;
        let request = StartRequest {
            id: config.id.to_string(),
            lowers: relative_lowers(&self.store, tree.lowers())?,
            hosts: Some(name_files::hosts(config, &options.host_files, &network)),
            resolv_conf: Some(name_files::resolv_conf(
                config,
                &options.host_files,
                network.request.upstreams.is_some(),
            )),
            boot_id: boot_id(),
            user_xattrs: image_tree::user_xattrs(&self.store),
            attach,
            size: (options.size.rows, options.size.columns),
            cgroup: None,
            joins_processes: processes.is_some(),
            network: network.request,
        };
        network.descriptors.extend(processes);
        let created = self.make_cgroup(container)?;
        let request = StartRequest {
            cgroup: created.cgroup.as_ref().map(Cgroup::record),
            ..request
        };
        let message =
            serde_json::to_vec(&request).map_err(|error| Error::Invalid(error.to_string()))?;
        let channel = self.spawn_monitor(
            launcher,
            config,
            &message,
            &pipes,
            &network.descriptors,
            created.cgroup.as_ref(),
        )?;
        let Pipes { readers, writers } = pipes;
        drop(writers);
        match channel
            .receive::<Reply>()
            .context(|| format!("starting container {}", config.name))?
        {
            Some((Reply::Started, descriptors)) => Ok(Session::new(
                config,
                channel,
                readers,
                descriptors.into_iter().next(),
                true,
            )
            .with_notices(network.notices)
            .warn(created.unmet.iter().map(ToString::to_string).collect())),
            failed => {
                if let Some(cgroup) = &created.cgroup {
                    // Nobody is in it. What can't be removed now is by the next start.
                    let _ = cgroup.remove();
                }
                Err(match failed {
                    Some((Reply::Failed(error), _)) => self.name_port_owner(error.into()),
                    Some(_) => Error::Failed(format!(
                        "the monitor of container {} gave a strange answer",
                        config.name
                    )),
                    None => Error::MonitorLost(config.name.clone()),
                })
            }
        }
    }

    fn spawn_monitor(
        &self,
        launcher: &Launcher,
        config: &Config,
        message: &[u8],
        pipes: &Pipes,
        network: &[OwnedFd],
        cgroup: Option<&Cgroup>,
    ) -> Result<Channel> {
        let (ours, theirs) =
            Channel::pair().context(|| "making a connection to the monitor".to_owned())?;
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .context(|| "opening /dev/null".to_owned())?;
        let mounts = detach_binds(config)?;
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![theirs.as_fd(), null.as_fd()];
        descriptors.extend(pipes.writers.iter().map(AsFd::as_fd));
        descriptors.extend(network.iter().map(AsFd::as_fd));
        descriptors.extend(mounts.iter().map(|mount| mount.as_fd()));
        descriptors.extend(cgroup.iter().flat_map(|cgroup| cgroup.descriptors()));
        launcher
            .spawn_monitor(message, &descriptors)
            .map_err(|error| Error::Failed(error.to_string()))?;
        Ok(ours)
    }

    /// Makes the cgroup that the container's limits need. One that an earlier run left is removed first.
    fn make_cgroup(&self, container: &Container) -> Result<Created> {
        if let Some(left) = container.state()?.cgroup {
            left.remove();
        }
        container.remove_freezer();
        let name = format!("kiln-{}", container.id());
        let config = container.config();
        if config.pid.is_private() {
            return Ok(Cgroup::create(&name, &config.limits));
        }
        // Its processes do not end with the first one, so they have to be found in another way.
        Cgroup::create_gathering(&name, &config.limits).context(|| {
            "the container's processes share a namespace with others, so they need a cgroup of version 2".to_owned()
        })
    }

    /// Adds to a port conflict which container has the port, if one has.
    fn name_port_owner(&self, error: Error) -> Error {
        let Error::Port { address, reason } = error else {
            return error;
        };
        let Some(port) = address
            .parse::<std::net::SocketAddr>()
            .ok()
            .map(|address| address.port())
        else {
            return Error::Port { address, reason };
        };
        let owner = self
            .list()
            .unwrap_or_default()
            .into_iter()
            .find(|container| {
                container
                    .state()
                    .is_ok_and(|state| state.ports.iter().any(|bound| bound.host.port() == port))
            });
        let reason = owner.map_or(reason.clone(), |owner| {
            format!("{reason} (by container {})", owner.name())
        });
        Error::Port { address, reason }
    }
}

/// The mounts of a container's binds, taken from the host as it is now.
pub(super) fn detach_binds(config: &Config) -> Result<Vec<Arc<OwnedFd>>> {
    let mut mounts = Vec::new();
    for mount in &config.mounts {
        if let MountOrigin::Bind { path } = &mount.source
            && let MountSource::Detached { mount, .. } =
                MountSource::detach_path(path, mount.recursive)
                    .context(|| format!("mounting {}", path.display()))?
        {
            mounts.push(mount);
        }
    }
    for device in &config.devices {
        mounts.push(detach_device(&device.source)?);
    }
    Ok(mounts)
}

/// The mount of a device node, and of nothing else.
fn detach_device(path: &Path) -> Result<Arc<OwnedFd>> {
    let describe = || {
        format!(
            "error gathering device information while adding custom device \"{}\"",
            path.display()
        )
    };
    let kind = std::fs::metadata(path).context(describe)?.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(Error::Invalid(format!("{}: not a device node", describe())));
    }
    match MountSource::detach_path(path, false).context(describe)? {
        MountSource::Detached { mount, .. } => Ok(mount),
        _ => Err(Error::Invalid(format!(
            "{}: it can't be mounted",
            describe()
        ))),
    }
}

/// The pipes of an attached client.
#[derive(Debug)]
pub(super) struct Pipes {
    pub readers: Vec<(OwnedFd, Stream)>,
    pub writers: Vec<OwnedFd>,
}

impl Pipes {
    /// Makes what is needed; a terminal has one stream, and its descriptor is wanted for its size in any case.
    pub(super) fn open(
        wanted: Attach,
        terminal: bool,
        open_stdin: bool,
    ) -> Result<(AttachRequest, Self)> {
        let attached = wanted.stdin || wanted.stdout || wanted.stderr;
        let request = AttachRequest {
            stdin: (wanted.stdin && open_stdin) || (terminal && attached),
            stdout: wanted.stdout || (terminal && wanted.stderr),
            stderr: wanted.stderr && !terminal,
        };
        let mut pipes = Self {
            readers: Vec::new(),
            writers: Vec::new(),
        };
        for (wanted, stream) in [
            (request.stdout, Stream::Stdout),
            (request.stderr, Stream::Stderr),
        ] {
            if wanted {
                let (reader, writer) =
                    pipe_with(PipeFlags::CLOEXEC).context(|| "making a pipe".to_owned())?;
                pipes.readers.push((reader, stream));
                pipes.writers.push(writer);
            }
        }
        Ok((request, pipes))
    }
}
