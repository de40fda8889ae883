//! `RUN --mount`: what appears in a step beside its files.
//!
//! Files of contexts and stages are copied into a tree of their own first, so that a step sees neither what an ignore file
//! leaves out nor anything that it could change for others. Cache directories lie in the store and are mounted as they are.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use kiln_runtime::{Mount as RunMount, MountSource, Propagation};
use kiln_store::accounts::Account;
use kiln_store::{LockGuard, NewTree};

use super::agent::AgentSocket;
use super::state::{FileState, SharedState};
use super::{Engine, caches, failure};
use crate::error::BuildError;
use crate::graph::{InlineFile, Mount, MountKind, Origin, RunOp, SecretTarget, VertexId};
use crate::request::Secret;

/// The mode of a tmpfs, as Docker has it.
const TMPFS_MODE: u32 = 0o1777;
/// The mode of a script that is executed directly.
const SCRIPT_MODE: u32 = 0o755;

/// The mounts of one step with what has to live as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) mounts: Vec<RunMount>,
    /// Variables that come from secrets and sockets.
    pub(super) env: Vec<(String, String)>,
    trees: Vec<NewTree>,
    locks: Vec<LockGuard>,
    agents: Vec<AgentSocket>,
    /// Stands below a step that has no layers: an overlay needs something there.
    empty: Option<NewTree>,
}

impl Mounts {
    /// The directory that a step without layers stands on.
    pub(super) fn empty_root(&self) -> Option<PathBuf> {
        self.empty.as_ref().map(|tree| tree.fs().to_owned())
    }
}

impl Engine<'_> {
    /// Makes ready what a step mounts.
    pub(super) fn mounted(
        &self,
        number: VertexId,
        run: &RunOp,
        inputs: &[SharedState],
        account: &Account,
    ) -> Result<Mounts, BuildError> {
        let mut mounts = Mounts::default();
        for mount in &run.mounts {
            self.mount_one(number, run, mount, inputs, account, &mut mounts)?;
        }
        if let Some(script) = &run.script {
            self.mount_script(script, &mut mounts)?;
        }
        if inputs[0].layers.is_empty() {
            mounts.empty = Some(self.empty_tree()?);
        }
        Ok(mounts)
    }

    fn empty_tree(&self) -> Result<NewTree, BuildError> {
        let store = &self.host.store;
        let stack = FileState::empty().stack(store)?;
        store
            .new_tree(&stack)
            .map_err(|error| BuildError::host("cannot prepare a mount", error))
    }

    /// A heredoc with a `#!` line is a program of its own.
    fn mount_script(&self, script: &InlineFile, mounts: &mut Mounts) -> Result<(), BuildError> {
        let tree = self.empty_tree()?;
        let path = tree.fs().join("script");
        let write = || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(SCRIPT_MODE);
            options.open(&path)?.write_all(script.content.as_bytes())?;
            // Whatever the mask of this process is.
            std::fs::set_permissions(&path, Permissions::from_mode(SCRIPT_MODE))
        };
        write()
            .map_err(|error: std::io::Error| BuildError::host("cannot prepare a script", error))?;
        mounts.trees.push(tree);
        mounts.mounts.push(RunMount {
            target: script.name.clone().into_bytes(),
            source: MountSource::Store(path),
            read_only: true,
            no_exec: false,
            propagation: Propagation::Private,
        });
        Ok(())
    }

    fn mount_one(
        &self,
        number: VertexId,
        run: &RunOp,
        mount: &Mount,
        inputs: &[SharedState],
        account: &Account,
        mounts: &mut Mounts,
    ) -> Result<(), BuildError> {
        let origin = &self.vertex(number).origin;
        let (source, read_only) = match &mount.kind {
            MountKind::Bind {
                from,
                source,
                writable,
            } => {
                let (tree, path) = self.materialize(number, from, source, inputs)?;
                mounts.trees.push(tree);
                (MountSource::Store(path), !writable)
            }
            MountKind::Cache {
                id,
                sharing,
                from,
                source,
                read_only,
                mode,
                uid,
                gid,
            } => {
                let cache = caches::Cache {
                    id,
                    sharing: *sharing,
                    mode: *mode,
                };
                let owner = (uid.unwrap_or(account.uid), gid.unwrap_or(account.gid));
                let initial = || match from {
                    Some(from) => self.materialize(number, from, source, inputs).map(Some),
                    None => Ok(None),
                };
                let (path, lock) = self.cache_directory(&cache, owner, initial)?;
                mounts.locks.extend(lock);
                (MountSource::Store(path), *read_only)
            }
            MountKind::Tmpfs { size } => (
                MountSource::Tmpfs {
                    size: *size,
                    mode: TMPFS_MODE,
                    owner: (0, 0),
                },
                false,
            ),
            MountKind::Secret {
                id,
                target,
                required,
            } => {
                let Some(value) = self.secret(origin, id, *required)? else {
                    return Ok(());
                };
                match self.use_secret(origin, id, target, &value, mounts)? {
                    Some(source) => (source, true),
                    None => return Ok(()),
                }
            }
            MountKind::Ssh {
                id,
                required,
                mode,
                uid,
                gid,
            } => match self.request.ssh.get(id) {
                Some(socket) => {
                    if !run.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
                        mounts
                            .env
                            .push(("SSH_AUTH_SOCK".to_owned(), mount.target.clone()));
                    }
                    let failed = |error: &dyn std::fmt::Display| {
                        let message = format!("cannot use the ssh agent {id}: {error}");
                        failure::step(origin, message, None)
                    };
                    let temporary = self.host.store.temporary_directory("agent");
                    let temporary = temporary.map_err(|error| failed(&error))?;
                    let own = AgentSocket::new(temporary, socket, *mode, (*uid, *gid))
                        .map_err(|error| failed(&error))?;
                    let source = MountSource::detach(own.path()).map_err(|error| failed(&error))?;
                    mounts.agents.push(own);
                    (source, false)
                }
                None if *required => {
                    let message = format!("ssh agent {id}: not found");
                    return Err(failure::step(
                        origin,
                        message,
                        Some(format!("give it with --ssh {id}")),
                    ));
                }
                None => return Ok(()),
            },
        };
        mounts.mounts.push(RunMount {
            target: mount.target.clone().into_bytes(),
            source,
            read_only,
            no_exec: false,
            propagation: Propagation::Private,
        });
        Ok(())
    }

    fn secret(
        &self,
        origin: &Origin,
        id: &str,
        required: bool,
    ) -> Result<Option<Vec<u8>>, BuildError> {
        match self.request.secrets.get(id) {
            Some(Secret::Value(value)) => Ok(Some(value.clone())),
            Some(Secret::File(path)) => std::fs::read(path).map(Some).map_err(|error| {
                failure::step(
                    origin,
                    format!("cannot read secret {id} from {}: {error}", path.display()),
                    None,
                )
            }),
            None if required => {
                let hint = Some(format!("give it with --secret id={id},src=FILE"));
                Err(failure::step(
                    origin,
                    format!("secret {id}: not found"),
                    hint,
                ))
            }
            None => Ok(None),
        }
    }

    fn use_secret(
        &self,
        origin: &Origin,
        id: &str,
        target: &SecretTarget,
        value: &[u8],
        mounts: &mut Mounts,
    ) -> Result<Option<MountSource>, BuildError> {
        if let Some(name) = &target.env {
            let Ok(text) = std::str::from_utf8(value) else {
                return Err(failure::step(
                    origin,
                    format!("secret {id} is not text, so it can't be a variable"),
                    None,
                ));
            };
            mounts.env.push((name.clone(), text.to_owned()));
        }
        if !target.file {
            return Ok(None);
        }
        MountSource::private_file(value, target.mode, target.uid, target.gid)
            .map(Some)
            .map_err(|error| {
                failure::step(
                    origin,
                    format!("cannot give secret {id} to the step: {error}"),
                    None,
                )
            })
    }
}
