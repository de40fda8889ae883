//! `RUN --mount`: what appears in a step beside its files.
//!
//! Files of contexts and stages are copied into a tree of their own first, so that a step sees neither what an ignore file
//! leaves out nor anything that it could change for others. Cache directories lie in the store and are mounted as they are.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use kiln_grammar::ignore::Patterns;
use kiln_runtime::{Mount as RunMount, MountSource};
use kiln_store::accounts::Account;
use kiln_store::tree::TreeWriter;
use kiln_store::{LockGuard, NewTree};

use super::state::{FileState, SharedState};
use super::{Engine, caches, failure};
use crate::cache::KeyHasher;
use crate::copy::{
    CopyError, SelectOptions, Selected, SourceTree, Transfer, TransferOptions, digest, select,
};
use crate::error::BuildError;
use crate::graph::{
    BindSource, InlineFile, Mount, MountKind, Origin, RunOp, SecretTarget, VertexId,
};
use crate::request::Secret;

/// The mode of a tmpfs, as Docker has it.
const TMPFS_MODE: u32 = 0o1777;
/// The mode of a script that is executed directly.
const SCRIPT_MODE: u32 = 0o755;
/// The name of what is mounted, in the tree made for it.
const MOUNTED: &[u8] = b"mounted";

/// The mounts of one step with what has to live as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) mounts: Vec<RunMount>,
    /// Variables that come from secrets and sockets.
    pub(super) env: Vec<(String, String)>,
    trees: Vec<NewTree>,
    locks: Vec<LockGuard>,
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
            MountKind::Ssh { id, required, .. } => match self.request.ssh.get(id) {
                Some(socket) => {
                    if !run.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
                        mounts
                            .env
                            .push(("SSH_AUTH_SOCK".to_owned(), mount.target.clone()));
                    }
                    let source = MountSource::detach(socket).map_err(|error| {
                        failure::step(
                            origin,
                            format!("cannot use the ssh agent {id}: {error}"),
                            None,
                        )
                    })?;
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
        });
        Ok(())
    }

    /// Puts the files that a mount shows into a tree of their own, and returns the path of what is mounted.
    fn materialize(
        &self,
        number: VertexId,
        from: &BindSource,
        path: &str,
        inputs: &[SharedState],
    ) -> Result<(NewTree, PathBuf), BuildError> {
        let store = &self.host.store;
        let stack = FileState::empty().stack(store)?;
        let tree = store
            .new_tree(&stack)
            .map_err(|error| BuildError::host("cannot prepare a mount", error))?;
        let write = |source: &SourceTree<'_>, selected: &[Selected]| -> Result<(), CopyError> {
            let owner = matches!(from, BindSource::Context(_)).then_some((0, 0));
            let options = TransferOptions {
                destination: MOUNTED,
                owner,
                chmod: None,
                clamp: None,
                parents: false,
                previous: None,
            };
            let mut writer = TreeWriter::new(&tree, &stack.view(), store.options().overlay_xattrs)?;
            for one in selected {
                Transfer::new(&mut writer, source, &options).put(one)?;
            }
            Ok(writer.finish()?)
        };
        self.with_bound(number, from, path, inputs, write)
            .map_err(|error| failure::of_copy(self.vertex(number), &error))?;
        let mounted = tree.fs().join(Path::new("mounted"));
        Ok((tree, mounted))
    }

    /// Calls `work` with the tree of a bind and what its path names there.
    fn with_bound<R>(
        &self,
        number: VertexId,
        from: &BindSource,
        path: &str,
        inputs: &[SharedState],
        work: impl FnOnce(&SourceTree<'_>, &[Selected]) -> Result<R, CopyError>,
    ) -> Result<R, CopyError> {
        let nothing = Patterns::default();
        let options = SelectOptions {
            exclude: &nothing,
            parents: false,
            strict: false,
        };
        match from {
            BindSource::Context(name) => {
                let context = self.contexts.get(name);
                let context = context.ok_or_else(|| {
                    CopyError::Other("there is no build context to mount".to_owned())
                })?;
                work(&context.tree(), &select(&context.tree(), path, &options)?)
            }
            BindSource::Source(index) => {
                let stack = inputs[index + 1].stack(&self.host.store);
                let view = stack
                    .map_err(|error| CopyError::Other(error.to_string()))?
                    .view();
                let name = self.source_name(number, *index);
                let source = SourceTree {
                    view: &view,
                    ignore: None,
                    name: &name,
                };
                work(&source, &select(&source, path, &options)?)
            }
        }
    }

    /// Adds the identity of the files that mounts show from other stages; those of contexts are known before.
    pub(super) fn mounted_content(
        &self,
        hasher: &mut KeyHasher,
        number: VertexId,
        run: &RunOp,
        inputs: &[SharedState],
    ) -> Result<(), BuildError> {
        for mount in &run.mounts {
            let (MountKind::Bind { from, source, .. }
            | MountKind::Cache {
                from: Some(from),
                source,
                ..
            }) = &mount.kind
            else {
                continue;
            };
            if !matches!(from, BindSource::Source(_)) {
                continue;
            }
            let identity = self.with_bound(number, from, source, inputs, |tree, selected| {
                digest(tree, selected, true, self.layer_hashes, &mut Vec::new())
            });
            hasher.raw(&identity.map_err(|error| failure::of_copy(self.vertex(number), &error))?);
        }
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
