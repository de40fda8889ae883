//! The part of a plan that every process shares: streams, session, limits, filters, credentials, program.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::mounts::{Attachments, c_string};
use super::{Limit, Operation, Overlay, Plan, Prepared, Program, Site};
use crate::cgroup::Membership;
use crate::owners::{self, Recording};
use crate::wire::Bytes;
use crate::{Capabilities, Join, LaunchError, Network, Process, Seccomp, Security, Stdio, seccomp};

/// `PATH` for programs without one, as Docker has it.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the standard streams are set up. `bind` shows a terminal as the console of a new container.
pub(super) fn streams(
    stdio: Stdio,
    owner: u32,
    bind: bool,
    attached: &mut Attachments,
) -> Operation {
    match stdio {
        Stdio::Files {
            stdin,
            stdout,
            stderr,
        } => {
            let mut add = |fd: OwnedFd| attached.fd(Arc::new(fd));
            Operation::Stdio {
                stdin: add(stdin),
                stdout: add(stdout),
                stderr: add(stderr),
                owner,
            }
        }
        Stdio::Terminal { socket, size } => {
            let socket = attached.fd(Arc::new(socket));
            Operation::Console {
                socket,
                rows: size.rows,
                columns: size.columns,
                bind,
                owner,
            }
        }
    }
}

/// The v2 directory to be born into, and the v1 files to move oneself with.
pub(super) fn cgroup(
    membership: Option<&Membership>,
    attached: &mut Attachments,
) -> (Option<u32>, Vec<u32>) {
    let Some(Membership { unified, moves }) = membership else {
        return (None, Vec::new());
    };
    let unified = unified.as_ref().map(|fd| attached.fd(Arc::clone(fd)));
    let moves = moves.iter().map(|fd| attached.fd(Arc::clone(fd))).collect();
    (unified, moves)
}

/// What a process may do.
pub(super) struct Confinement<'a> {
    pub process: &'a Process,
    pub security: Security,
    pub seccomp: &'a Seccomp,
    /// Whether owners are recorded, for the want of ids.
    pub recorded: bool,
    /// Whether Landlock keeps it from the host's abstract sockets.
    pub scoped: bool,
}

impl Confinement<'_> {
    /// The operations from the streams to the last one before exec. The filter is loaded while the process still
    /// holds the privilege for it, so that it works without `no_new_privs`.
    pub fn operations(&self, streams: Operation) -> Result<Vec<Operation>, LaunchError> {
        let process = self.process;
        let sandbox = self.security == Security::Sandbox;
        let capabilities = if sandbox {
            process.capabilities
        } else {
            Capabilities::ALL
        };
        let mut operations = vec![streams];
        if !process.rlimits.is_empty() {
            let limit = |limit: &crate::Rlimit| Limit {
                resource: limit.resource as u32,
                soft: limit.soft,
                hard: limit.hard,
            };
            operations.push(Operation::Limits {
                limits: process.rlimits.iter().map(limit).collect(),
            });
        }
        if !process.cwd.starts_with(b"/") {
            let cwd = String::from_utf8_lossy(&process.cwd);
            return Err(LaunchError::Spec(format!(
                "working directory {cwd:?} is not an absolute path"
            )));
        }
        operations.push(Operation::Directory {
            path: c_string("working directory", process.cwd.clone())?,
        });
        if let Some(apparmor) = process.apparmor.as_ref().filter(|_| sandbox) {
            operations.push(Operation::AppArmor {
                profile: c_string("AppArmor profile", apparmor.profile.clone().into_bytes())?,
                required: apparmor.required,
            });
        }
        if self.scoped && sandbox {
            operations.push(Operation::Scope);
        }
        if process.no_new_privileges {
            operations.push(Operation::NoNewPrivileges);
        }
        let program = match self.seccomp {
            Seccomp::Default if sandbox => Some(seccomp::default_program(capabilities)),
            Seccomp::Custom(profile) => Some(Bytes(
                profile
                    .program(capabilities)
                    .map_err(|error| LaunchError::Spec(error.to_string()))?,
            )),
            Seccomp::Default | Seccomp::Unconfined => None,
        };
        operations.extend(program.map(|program| Operation::Filter { program }));
        if self.recorded {
            let program = owners::program();
            operations.push(Operation::Owners {
                program,
                socket: LAST,
            });
        }
        operations.push(Operation::Credentials {
            recorded: self.recorded,
            uid: process.user.uid,
            gid: process.user.gid,
            groups: process.user.all_groups(),
            capabilities: capabilities.0,
        });
        Ok(operations)
    }
}

/// Stands for the descriptor after all that a plan names, before it is known how many those are.
const LAST: u32 = u32::MAX;

/// What is to be recorded of a process.
pub(super) fn recording(
    site: &Site,
    process: &Process,
    overlay: Option<&Overlay>,
) -> Option<Recording> {
    site.single_id.then(|| Recording {
        upper: overlay.map(|overlay| overlay.upper.clone()),
        lowers: overlay.map_or_else(Vec::new, |overlay| overlay.lowers.clone()),
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.all_groups(),
    })
}

/// The program of a process, looked up in its own `PATH` when it has no slash.
pub(super) fn program(process: &Process) -> Result<Program, LaunchError> {
    let Some(name) = process.argv.first().filter(|name| !name.is_empty()) else {
        return Err(LaunchError::Spec("no program to run".to_owned()));
    };
    let strings = |what: &str, list: &[Vec<u8>]| -> Result<Vec<CString>, LaunchError> {
        list.iter()
            .map(|item| c_string(what, item.clone()))
            .collect()
    };
    let candidates = if name.contains(&b'/') {
        vec![c_string("program", name.clone())?]
    } else {
        let path = process
            .env
            .iter()
            .rev()
            .find_map(|entry| entry.strip_prefix(b"PATH="));
        let directories = path
            .filter(|path| !path.is_empty())
            .unwrap_or(DEFAULT_PATH)
            .split(|byte| *byte == b':');
        directories
            .map(|directory| {
                let directory = if directory.is_empty() {
                    b"."
                } else {
                    directory
                };
                c_string("program", [directory, b"/", name].concat())
            })
            .collect::<Result<_, _>>()?
    };
    Ok(Program {
        candidates,
        argv: strings("argument", &process.argv)?,
        env: strings("environment entry", &process.env)?,
    })
}

/// The plan of a further process in a running container.
pub(crate) fn join(
    site: &Site,
    join: &Join,
    init: OwnedFd,
    stdio: Stdio,
) -> Result<Prepared, LaunchError> {
    let mut attached = Attachments::default();
    // The host's network belongs to another user namespace when we are rootless: it can't be entered, nor need it be.
    let network = match join.network {
        Network::Host => 0,
        Network::None | Network::Joined(_) => libc::CLONE_NEWNET,
    };
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | network;
    let namespaces = namespaces & !super::container::not_its_own(&join.shared);
    let init = attached.fd(Arc::new(init));
    let mut operations = vec![Operation::Enter { init, namespaces }];
    operations.push(Operation::Session);
    let streams = streams(stdio, join.process.user.uid, false, &mut attached);
    let confinement = Confinement {
        process: &join.process,
        security: join.security,
        seccomp: &join.seccomp,
        scoped: join.network == Network::Host,
        recorded: site.single_id,
    };
    operations.extend(confinement.operations(streams)?);
    let (cgroup, moves) = cgroup(join.cgroup.as_ref(), &mut attached);
    if !moves.is_empty() {
        let namespace = false;
        operations.insert(0, Operation::Cgroup { moves, namespace });
    }
    let plan = Plan {
        namespaces: 0,
        inside: Some(init),
        cgroup,
        ends_with_parent: false,
        contents: attached.contents,
        operations,
        ahead: 0,
        program: program(&join.process)?,
        owners: recording(site, &join.process, None),
        timed: false,
    };
    Ok(Prepared {
        plan,
        fds: attached.fds,
    })
}
