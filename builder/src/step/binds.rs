//! Files of contexts and stages that mounts show: copied into a tree of their own, and part of the step's content key.

use std::path::PathBuf;

use kiln_grammar::ignore::Patterns;
use kiln_store::NewTree;
use kiln_store::tree::TreeWriter;

use super::state::{FileState, SharedState};
use super::{Engine, failure};
use crate::cache::KeyHasher;
use crate::copy::{
    CopyError, SelectOptions, Selected, SourceTree, Transfer, TransferOptions, digest, select,
};
use crate::error::BuildError;
use crate::graph::{BindSource, MountKind, RunOp, VertexId};

/// The name of what is mounted, in the tree made for it.
const MOUNTED: &str = "mounted";

impl Engine<'_> {
    /// Puts the files that a mount shows into a tree of their own, and returns the path of what is mounted.
    pub(super) fn materialize(
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
                destination: MOUNTED.as_bytes(),
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
        let mounted = tree.fs().join(MOUNTED);
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
}
