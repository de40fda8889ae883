//! From a container's record to the launcher's values. Pure, but for the look-up of an exec's user.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::cgroup::Membership;
use crate::container::config::{Config, MountOrigin, NetworkMode};
use crate::container::control::{ProcessRequest, StartRequest};
use crate::container::environment;
use crate::container::error::{Context, Error, Result};
use crate::container::image_tree;
use crate::container::own_files;
use crate::container::shared::NamespaceMode;
use crate::container::volumes;
use crate::{
    Capabilities, Ids, Join, Mount, MountSource, Network, Parent, Process, Processes, Profile,
    Propagation, Resource, Rlimit, Seccomp, Security, Shared, Spec,
};

/// Where a container's files are, as the monitor sees them.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The directories of its layers, lowest first.
    lowers: Vec<PathBuf>,
    /// Its own.
    upper: PathBuf,
    /// Whether overlay's attributes are under `user.`.
    user_xattrs: bool,
}

impl Files {
    pub(super) fn new(request: &StartRequest, directory: &Path) -> Self {
        let lowers = request
            .lowers
            .iter()
            .map(|path| Path::new(Parent::STORE).join(path))
            .collect();
        Self {
            lowers,
            upper: directory.join("upper"),
            user_xattrs: request.user_xattrs,
        }
    }
}

/// How to mount the files of a container that does not run, in the store at `root`. `mounts` as for a launch.
pub(in crate::container) fn stopped_spec(
    config: &Config,
    request: &StartRequest,
    root: &Path,
    mounts: Vec<MountSource>,
) -> Result<Spec> {
    let directory = root.join("containers").join(config.id.as_str());
    let lowers = request.lowers.iter().map(|path| root.join(path)).collect();
    let mut spec = Spec::new(
        lowers,
        directory.join("upper"),
        directory.join("work"),
        first_process(config),
    );
    // It may be started afterwards.
    spec.volatile = false;
    spec.read_only_root = config.read_only;
    spec.hostname_file = false;
    let files = Config {
        devices: Vec::new(),
        ..config.clone()
    };
    spec.mounts = mount_specs(&files, mounts, root)?;
    Ok(spec)
}

/// How to launch the container's first process. `mounts` are the detached mounts of its binds and devices, in order.
pub(super) fn container_spec(
    config: &Config,
    request: &StartRequest,
    directory: &Path,
    mounts: Vec<MountSource>,
    processes: Option<&Arc<OwnedFd>>,
    cgroup: Option<Membership>,
) -> Result<Spec> {
    let Files { lowers, upper, .. } = Files::new(request, directory);
    let mut spec = Spec::new(lowers, upper, directory.join("work"), first_process(config));
    // An upper that was mounted volatile can't be mounted again: only a container that never starts twice may be.
    spec.volatile = config.auto_remove;
    spec.read_only_root = config.read_only;
    spec.hostname.clone_from(&config.hostname);
    spec.hostname_file = false;
    let taken = |target: &str| config.mounts.iter().any(|mount| mount.target == target);
    spec.mounts = own_files::mounts(directory, taken);
    spec.mounts
        .extend(mount_specs(config, mounts, Path::new(Parent::STORE))?);
    spec.shared = shared(config, processes);
    spec.network = network(config);
    spec.security = security(config);
    spec.seccomp = seccomp(config)?;
    spec.shm_size = config.shm_size;
    spec.cgroup = cgroup;
    spec.settings = config.sysctls.clone().into_iter().collect();
    spec.oom_score_adj = config.oom_score_adj;
    spec.init = config.init;
    Ok(spec)
}

fn first_process(config: &Config) -> Process {
    let settings = &config.process;
    let mut env = environment::complete(&config.hostname, settings.terminal, &[&settings.env]);
    environment::add_home(&mut env, &settings.home);
    Process {
        argv: bytes(&settings.argv()),
        env: bytes(&env),
        cwd: settings.cwd.clone().into_bytes(),
        user: Ids {
            uid: settings.uid,
            gid: settings.gid,
            groups: settings.groups.clone(),
        },
        capabilities: Capabilities(settings.capabilities),
        no_new_privileges: settings.no_new_privileges,
        apparmor: config.apparmor.clone(),
        rlimits: rlimits(&settings.rlimits),
    }
}

/// How to launch a further process.
pub(super) fn exec_join(
    config: &Config,
    files: &Files,
    request: &ProcessRequest,
    cgroup: Option<Membership>,
) -> Result<Join> {
    let user = image_tree::user_in(
        &files.lowers,
        &files.upper,
        files.user_xattrs,
        &request.user,
    )?;
    let mut env = request.env.clone();
    environment::add_home(&mut env, &user.home);
    let privileged = request.privileged || config.privileged;
    Ok(Join {
        process: Process {
            argv: bytes(&request.argv),
            env: bytes(&env),
            cwd: request.cwd.clone().into_bytes(),
            user: user.ids,
            capabilities: if privileged {
                Capabilities::ALL
            } else {
                Capabilities(config.process.capabilities)
            },
            no_new_privileges: config.process.no_new_privileges && !request.privileged,
            apparmor: config.apparmor.clone(),
            rlimits: rlimits(&config.process.rlimits),
        },
        security: if privileged {
            Security::Insecure
        } else {
            Security::Sandbox
        },
        seccomp: if privileged {
            Seccomp::Unconfined
        } else {
            seccomp(config)?
        },
        network: network(config),
        shared: shared(config, None),
        cgroup,
    })
}

/// The namespaces that it does not have for itself. A further process finds the way by the first one.
fn shared(config: &Config, processes: Option<&Arc<OwnedFd>>) -> Shared {
    Shared {
        processes: match (&config.pid, processes) {
            (NamespaceMode::Host, _) => Processes::Host,
            (NamespaceMode::Container(_), Some(process)) => Processes::Of(Arc::clone(process)),
            _ => Processes::Own,
        },
        host_ipc: config.ipc == NamespaceMode::Host,
        host_name: config.uts == NamespaceMode::Host,
    }
}

fn mount_specs(config: &Config, detached: Vec<MountSource>, store: &Path) -> Result<Vec<Mount>> {
    let mut detached = detached.into_iter();
    let mut taken = |path: &Path| {
        detached.next().ok_or_else(|| {
            Error::Invalid(format!("the start brought no mount for {}", path.display()))
        })
    };
    let mut mounts: Vec<Mount> = config
        .mounts
        .iter()
        .map(|mount| {
            let source = match &mount.source {
                MountOrigin::Bind { path } => taken(path)?,
                MountOrigin::Volume { name, subpath, .. } => {
                    let data = volumes::data_directory(store, name);
                    match subpath {
                        None => MountSource::Store(data),
                        Some(part) => part_of_volume(&data, name, part)?,
                    }
                }
                MountOrigin::Tmpfs { size, mode, owner } => MountSource::Tmpfs {
                    size: *size,
                    mode: *mode,
                    owner: *owner,
                },
            };
            Ok(Mount {
                target: mount.target.clone().into_bytes(),
                source,
                read_only: mount.read_only,
                no_exec: mount.no_exec,
                propagation: mount.propagation,
            })
        })
        .collect::<Result<_>>()?;
    for device in &config.devices {
        let source = match taken(&device.source)? {
            MountSource::Detached { mount, .. } => MountSource::Device(mount),
            other => other,
        };
        mounts.push(Mount {
            target: device.target.clone().into_bytes(),
            source,
            read_only: device.read_only,
            no_exec: true,
            propagation: Propagation::Private,
        });
    }
    Ok(mounts)
}

/// A part of a volume. Containers write to volumes, so links on the way lead nowhere but into the volume itself.
fn part_of_volume(data: &Path, name: &str, part: &str) -> Result<MountSource> {
    let describe = || format!("cannot access path {part} in volume {name}");
    let root = rustix::fs::open(
        data,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context(describe)?;
    let node = rustix::fs::openat2(
        &root,
        part,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
    )
    .context(describe)?;
    MountSource::detach_node(node.as_fd(), false).context(describe)
}

fn network(config: &Config) -> Network {
    match config.network {
        NetworkMode::Host => Network::Host,
        _ => Network::None,
    }
}

fn security(config: &Config) -> Security {
    if config.privileged {
        Security::Insecure
    } else {
        Security::Sandbox
    }
}

fn seccomp(config: &Config) -> Result<Seccomp> {
    if config.privileged || config.seccomp_unconfined {
        return Ok(Seccomp::Unconfined);
    }
    match &config.seccomp_profile {
        Some(text) => Profile::parse(text)
            .map(|profile| Seccomp::Custom(Arc::new(profile)))
            .map_err(|error| Error::Invalid(error.to_string())),
        None => Ok(Seccomp::Default),
    }
}

/// The resources by the kernel's numbers.
const RESOURCES: [Resource; 16] = [
    Resource::Cpu,
    Resource::FileSize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Processes,
    Resource::OpenFiles,
    Resource::LockedMemory,
    Resource::AddressSpace,
    Resource::Locks,
    Resource::PendingSignals,
    Resource::MessageQueues,
    Resource::Nice,
    Resource::RealTimePriority,
    Resource::RealTimeTime,
];

pub(crate) fn rlimits(limits: &[(u32, u64, u64)]) -> Vec<Rlimit> {
    limits
        .iter()
        .filter_map(|&(number, soft, hard)| {
            Some(Rlimit {
                resource: *RESOURCES.get(number as usize)?,
                soft,
                hard,
            })
        })
        .collect()
}

fn bytes(texts: &[String]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.clone().into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_stand_at_their_kernel_numbers() {
        for (number, resource) in RESOURCES.iter().enumerate() {
            assert_eq!(*resource as usize, number);
        }
    }
}
