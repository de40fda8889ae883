//! The mounts of a container's binds, kept for as often as it is started.
//!
//! They come from the starting command as mounts that lie nowhere. Such a mount serves one launch only, and before Linux 6.15
//! can't be copied either. For a container that may be started again they are attached in a mount namespace of the monitor's own,
//! where each launch takes a copy.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::vec::IntoIter;

use rustix::fs::{CWD, FileType, Mode, fstat, mkdirat, mknodat};
use rustix::mount::{MoveMountFlags, move_mount};

use crate::MountSource;
use crate::container::config::{Config, MountOrigin};
use crate::container::error::{Context, Error, Result};
use crate::container::policy::RestartPolicy;
use crate::sys::process;
use crate::zygote::place;

/// The mounts in the order of the container's binds, then of its devices.
#[derive(Debug)]
pub(super) struct Binds {
    mounts: Vec<Arc<OwnedFd>>,
    /// They are attached: each launch takes copies.
    attached: bool,
}

impl Binds {
    /// Takes over what the starting command brought.
    pub(super) fn take(config: &Config, descriptors: &mut IntoIter<OwnedFd>) -> Result<Self> {
        let binds = config
            .mounts
            .iter()
            .filter(|mount| matches!(mount.source, MountOrigin::Bind { .. }));
        let count = binds.count() + config.devices.len();
        let mounts: Vec<_> = descriptors.by_ref().take(count).map(Arc::new).collect();
        if mounts.len() != count {
            return Err(Error::Invalid(
                "the start brought too few descriptors".to_owned(),
            ));
        }
        let mut binds = Self {
            mounts,
            attached: false,
        };
        if config.restart != RestartPolicy::No && count > 0 {
            binds.attach()?;
        }
        Ok(binds)
    }

    fn attach(&mut self) -> Result<()> {
        process::unshare(libc::CLONE_NEWNS)
            .context(|| "making a mount namespace for the binds".to_owned())?;
        let describe = || "keeping the mount of a bind".to_owned();
        for (number, mount) in self.mounts.iter().enumerate() {
            let name = format!(
                "{}/{}-bind-{number}",
                place::CONTENT.to_string_lossy(),
                std::process::id()
            );
            if is_directory(mount).context(describe)? {
                mkdirat(CWD, name.as_str(), Mode::RWXU).context(describe)?;
            } else {
                mknodat(CWD, name.as_str(), FileType::RegularFile, Mode::RUSR, 0)
                    .context(describe)?;
            }
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(mount.as_fd(), "", CWD, name.as_str(), flags).context(describe)?;
        }
        self.attached = true;
        Ok(())
    }

    /// The mounts for one launch.
    pub(super) fn sources(&self) -> Result<Vec<MountSource>> {
        let describe = || "copying the mount of a bind".to_owned();
        let source = |mount: &Arc<OwnedFd>| {
            if self.attached {
                return MountSource::detach_node(mount.as_fd(), true).context(describe);
            }
            Ok(MountSource::Detached {
                mount: Arc::clone(mount),
                directory: is_directory(mount).context(describe)?,
            })
        };
        self.mounts.iter().map(source).collect()
    }
}

fn is_directory(mount: &OwnedFd) -> std::result::Result<bool, rustix::io::Errno> {
    Ok(FileType::from_raw_mode(fstat(mount)?.st_mode) == FileType::Directory)
}
