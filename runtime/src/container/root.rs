//! The files of a container as its processes see them, with all its mounts, whether it runs or not.
//!
//! A process of ours enters the container's mount namespace, or mounts its root for this purpose while it does not run, hands a
//! descriptor of the root over and keeps the mounts until the caller lets go. It executes nothing of the container's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::Containers;
use super::containers::Container;
use super::control::{Channel, Reply, Request, StartRequest, receive_descriptor};
use super::create::relative_lowers;
use super::error::{Context, Error, Result};
use super::image_tree::{self, ImageTree};
use super::lifecycle::LOCK_PATIENCE;
use super::lock::MonitorLock;
use super::monitor::spec::stopped_spec;
use super::start::detach_binds;
use super::state::Status;
use super::watch::Watch;
use crate::{Child, Launcher, MountSource};

/// Access to a container's files; ends when dropped.
#[derive(Debug)]
pub struct ContainerRoot {
    root: OwnedFd,
    /// Its end is what the process that keeps the mounts waits for.
    _socket: OwnedFd,
    keeper: Keeper,
}

/// Who keeps the mounts.
#[derive(Debug)]
enum Keeper {
    /// A child of the container's monitor; the connection tells when the container ends.
    Monitor(Channel),
    /// A child of ours. Nobody can start the container meanwhile.
    Own { _child: Child, _lock: MonitorLock },
}

impl AsFd for ContainerRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl ContainerRoot {
    /// Fails if the container ended meanwhile: its mounts went with it, and what was done since then was done to nothing.
    pub fn check(&self) -> Result<()> {
        match &self.keeper {
            Keeper::Monitor(channel) if super::ready::is_readable(channel.as_fd()) => Err(
                Error::Failed("the container ended while its files were used".to_owned()),
            ),
            _ => Ok(()),
        }
    }
}

impl Containers {
    /// Opens the root of a container.
    pub fn open_root(&self, container: &Container, launcher: &Launcher) -> Result<ContainerRoot> {
        let watch = Watch::of(&container.directory)?;
        loop {
            if container.state()?.status == Status::Running {
                if let Some(root) = open_running(container)? {
                    return Ok(root);
                }
            } else if let Some(lock) = MonitorLock::take(&container.lock_path())? {
                return self.open_stopped(container, launcher, lock);
            }
            // It is being started or has just ended: the next look tells.
            match &watch {
                Some(watch) => watch.wait(Some(LOCK_PATIENCE))?,
                None => return Err(Error::NotFound(container.name().to_owned())),
            }
        }
    }

    fn open_stopped(
        &self,
        container: &Container,
        launcher: &Launcher,
        lock: MonitorLock,
    ) -> Result<ContainerRoot> {
        let config = container.config();
        let tree = ImageTree::open(&self.store, &config.image.layers)?;
        let request = StartRequest {
            id: config.id.to_string(),
            lowers: relative_lowers(&self.store, tree.lowers())?,
            user_xattrs: image_tree::user_xattrs(&self.store),
            ..StartRequest::default()
        };
        let mut binds = Vec::new();
        for mount in detach_binds(config)? {
            let directory = rustix::fs::FileType::from_raw_mode(
                rustix::fs::fstat(&mount)
                    .context(|| "looking at the mount of a bind".to_owned())?
                    .st_mode,
            ) == rustix::fs::FileType::Directory;
            binds.push(MountSource::Detached { mount, directory });
        }
        let spec = stopped_spec(config, &request, self.store.root(), binds)?;
        let (ours, theirs) = pair()?;
        let child = launcher
            .hold_root(&spec, theirs)
            .map_err(|error| Error::Failed(error.to_string()))?;
        let keeper = Keeper::Own {
            _child: child,
            _lock: lock,
        };
        receive(ours, keeper, container)
    }
}

/// `None` when the container has just ended.
fn open_running(container: &Container) -> Result<Option<ContainerRoot>> {
    let Some(channel) = container.connect()? else {
        return Ok(None);
    };
    let (ours, theirs) = pair()?;
    match container.ask(&channel, &Request::Root, &[theirs.as_fd()]) {
        Ok((Reply::Started, _)) => {}
        Ok((Reply::Failed(error), _)) => return Err(error.into()),
        Ok(_) | Err(Error::MonitorLost(_)) => return Ok(None),
        Err(error) => return Err(error),
    }
    drop(theirs);
    receive(ours, Keeper::Monitor(channel), container).map(Some)
}

fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .context(|| "making a socket".to_owned())
}

fn receive(socket: OwnedFd, keeper: Keeper, container: &Container) -> Result<ContainerRoot> {
    let root = receive_descriptor(socket.as_fd())
        .context(|| format!("opening the root of container {}", container.name()))?;
    Ok(ContainerRoot {
        root,
        _socket: socket,
        keeper,
    })
}
