//! The plan of a container's first process.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::confine::{self, Confinement};
use super::mounts::{self, Attachments, c_string, constant};
use super::{KernelRoot, Operation, Plan, Preparation, Prepared, Site};
use crate::{Expected, LaunchError, Network, Processes, Security, Shared, Spec, Stdio};

/// Namespaces of every container; the network's comes with [`Network::None`], or is there already.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// The longest host name of the kernel (`__NEW_UTS_LEN`).
const HOSTNAME_LIMIT: usize = 64;

/// Turns a spec into a plan. Touches nothing.
pub(crate) fn container(site: &Site, spec: &Spec, stdio: Stdio) -> Result<Prepared, LaunchError> {
    let mut attached = Attachments::default();
    let mut namespaces = NAMESPACES;
    let expected = Expected {
        // One that is joined comes later: what is prepared ahead is prepared before it is known.
        network: match spec.network {
            Network::Joined(_) => Network::Host,
            ref other => other.clone(),
        },
        security: spec.security,
        shm_size: spec.shm_size,
    };
    let mut operations = ahead(site, &expected, spec.cgroup.is_some());
    if spec.network == Network::None {
        namespaces |= libc::CLONE_NEWNET;
    }
    namespaces &= !not_its_own(&spec.shared);
    let mut ahead = operations.len();
    if let Network::Joined(namespace) = &spec.network {
        let namespace = attached.fd(Arc::clone(namespace));
        let network = Operation::Network { namespace };
        if spec.settings.is_empty() && spec.oom_score_adj.is_none() {
            // A sysfs shows the devices of the namespace that it is mounted in: another one takes the place of the first.
            let cgroup = site.own_cgroup || spec.cgroup.is_some();
            operations.push(network);
            operations.extend(sys(site, spec.security, cgroup));
        } else {
            // Settings are written before /proc is protected, and into this namespace.
            operations.insert(0, network);
            ahead = 0;
        }
    }
    let overlay = mounts::overlay(site, spec)?;
    let owners = match &overlay {
        Operation::Overlay { overlay } => confine::recording(site, &spec.process, Some(overlay)),
        _ => None,
    };
    operations.push(overlay);
    operations.push(Operation::Assemble);
    operations.extend(mounts::asked_for(site, spec, &mut attached)?);
    if spec.hostname.is_empty() || spec.hostname.len() > HOSTNAME_LIMIT {
        return Err(LaunchError::Spec(format!(
            "host name {:?} is not 1 to {HOSTNAME_LIMIT} bytes long",
            spec.hostname
        )));
    }
    if !spec.shared.host_name {
        operations.push(Operation::Hostname {
            name: c_string("host name", spec.hostname.clone())?,
        });
    }
    let streams = confine::streams(stdio, spec.process.user.uid, true, &mut attached);
    if spec.read_only_root {
        operations.push(Operation::ReadOnlyRoot);
    }
    operations.push(Operation::Pivot);
    let confinement = Confinement {
        process: &spec.process,
        security: spec.security,
        seccomp: &spec.seccomp,
        scoped: spec.network == Network::Host,
        recorded: site.single_id,
    };
    operations.extend(confinement.operations(streams)?);
    if spec.init {
        operations.push(Operation::Init);
    }
    let settings = settings(spec)?;
    if !settings.is_empty() {
        // They are written before /proc is protected.
        let after = operations
            .iter()
            .position(|operation| matches!(operation, Operation::Mask { .. } | Operation::Session))
            .unwrap_or(ahead);
        operations.splice(after..after, settings);
        ahead = 0;
    }
    let (cgroup, moves) = confine::cgroup(spec.cgroup.as_ref(), &mut attached);
    if cgroup.is_some() || !moves.is_empty() {
        // A cgroup is entered at birth.
        ahead = 0;
    }
    if !moves.is_empty() {
        // The namespace shows the cgroup that its maker is in: it has to wait for the move.
        namespaces &= !libc::CLONE_NEWCGROUP;
    }
    let mut inside = None;
    if let Processes::Of(process) = &spec.shared.processes {
        // Who is born into a process namespace that is there makes the others itself.
        inside = Some(attached.fd(Arc::clone(process)));
        operations.insert(0, Operation::Unshare { namespaces });
        namespaces = 0;
        ahead = 0;
    }
    if !moves.is_empty() {
        let namespace = true;
        operations.insert(0, Operation::Cgroup { moves, namespace });
    }
    Ok(Prepared {
        plan: Plan {
            namespaces: namespaces as u64,
            inside,
            cgroup,
            ends_with_parent: false,
            contents: attached.contents,
            operations,
            ahead: ahead as u32,
            program: confine::program(&spec.process)?,
            owners,
            timed: false,
        },
        fds: attached.fds,
    })
}

/// Namespaces that are not made for a process.
pub(super) fn not_its_own(shared: &Shared) -> i32 {
    let mut namespaces = match shared.processes {
        Processes::Own => 0,
        Processes::Host | Processes::Of(_) => libc::CLONE_NEWPID,
    };
    if shared.host_ipc {
        namespaces |= libc::CLONE_NEWIPC;
    }
    if shared.host_name {
        namespaces |= libc::CLONE_NEWUTS;
    }
    namespaces
}

/// The kernel's settings that a spec asks for.
fn settings(spec: &Spec) -> Result<Vec<Operation>, LaunchError> {
    let mut operations = Vec::new();
    for (name, value) in &spec.settings {
        operations.push(Operation::Setting {
            path: c_string("setting", format!("sys/{}", name.replace('.', "/")))?,
            value: c_string("setting", value.clone())?,
            required: true,
        });
    }
    if let Some(score) = spec.oom_score_adj {
        // The process is the first of its namespace.
        operations.push(Operation::Setting {
            path: constant("1/oom_score_adj"),
            value: constant(&score.to_string()),
            required: false,
        });
    }
    Ok(operations)
}

/// The plan of a process that only mounts a root and hands it out over `socket`.
pub(crate) fn hold_root(
    site: &Site,
    spec: &Spec,
    socket: OwnedFd,
) -> Result<Prepared, LaunchError> {
    let mut attached = Attachments::default();
    let mut operations = vec![mounts::overlay(site, spec)?];
    operations.extend(mounts::asked_for(site, spec, &mut attached)?);
    if spec.read_only_root {
        operations.push(Operation::ReadOnlyRoot);
    }
    operations.push(Operation::Pivot);
    let socket = attached.fd(Arc::new(socket));
    operations.push(Operation::HoldRoot { socket });
    Ok(Prepared {
        plan: Plan {
            namespaces: libc::CLONE_NEWNS as u64,
            contents: attached.contents,
            operations,
            ..Plan::default()
        },
        fds: attached.fds,
    })
}

/// The plan of a process that hands out the root of the running container whose first process is `init`, and ends with it.
pub(crate) fn hold_root_of(init: OwnedFd, socket: OwnedFd) -> Prepared {
    let mut attached = Attachments::default();
    let init = attached.fd(Arc::new(init));
    let socket = attached.fd(Arc::new(socket));
    Prepared {
        plan: Plan {
            inside: Some(init),
            operations: vec![
                Operation::Enter {
                    init,
                    namespaces: libc::CLONE_NEWNS,
                },
                Operation::HoldRoot { socket },
            ],
            ..Plan::default()
        },
        fds: attached.fds,
    }
}

/// What can be done for such a container before it is asked for.
pub(crate) fn preparation(site: &Site, expected: &Expected) -> Preparation {
    let network = match expected.network {
        Network::None => libc::CLONE_NEWNET,
        Network::Host | Network::Joined(_) => 0,
    };
    Preparation {
        namespaces: (NAMESPACES | network) as u64,
        operations: ahead(site, expected, false),
    }
}

/// What can be done before the root file system and the process are known.
fn ahead(site: &Site, expected: &Expected, cgroup: bool) -> Vec<Operation> {
    let sandbox = expected.security == Security::Sandbox;
    let mut operations = vec![
        Operation::Proc,
        Operation::Sys {
            read_only: sandbox,
            cgroup: site.own_cgroup || cgroup,
        },
        Operation::Dev {
            shm_size: expected.shm_size,
        },
    ];
    if expected.network != Network::Host {
        operations.extend(own_network());
    }
    if sandbox {
        operations.extend(mounts::masks(site));
    }
    operations.push(Operation::Session);
    operations
}

/// A new sysfs as it is confined.
fn sys(site: &Site, security: Security, cgroup: bool) -> Vec<Operation> {
    let sandbox = security == Security::Sandbox;
    let mut operations = vec![Operation::Sys {
        read_only: sandbox,
        cgroup,
    }];
    if sandbox {
        let masks = mounts::masks(site).into_iter();
        operations.extend(masks.filter(|mask| {
            matches!(
                mask,
                Operation::Mask {
                    root: KernelRoot::Sys,
                    ..
                }
            )
        }));
    }
    operations
}

/// Loopback, and the settings that Docker gives a network namespace: all ports and ping for everybody.
fn own_network() -> [Operation; 3] {
    [
        Operation::Loopback,
        Operation::Sysctl {
            path: constant("sys/net/ipv4/ip_unprivileged_port_start"),
            value: constant("0"),
        },
        Operation::Sysctl {
            path: constant("sys/net/ipv4/ping_group_range"),
            value: constant("0 2147483647"),
        },
    ]
}
