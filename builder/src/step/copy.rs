//! `COPY` and `ADD`: written straight into the layer, without a mount.

use kiln_store::tree::{Attributes, TreeWriter, path};
use kiln_store::{NewTree, Stack, View, accounts};

use super::prepare::select_sources;
use super::state::SharedState;
use super::{Engine, failure, reads};
use crate::cache::{KeyHasher, SlotRecord};
use crate::copy::{
    CopyError, Previous, Selected, SourceTree, Transfer, TransferOptions, digest, made_on_the_way,
    place, unpack,
};
use crate::error::BuildError;
use crate::graph::{BindSource, CopyOp, CopySource, InlineFile, VertexId};

/// The mode of a file that stands in the Dockerfile.
const INLINE_MODE: u32 = 0o644;

impl Engine<'_> {
    /// Writes what a copy takes into a new tree.
    pub(super) fn copy(
        &self,
        number: VertexId,
        copy: &CopyOp,
        inputs: &[SharedState],
        stack: &Stack,
        tree: &NewTree,
        before: Option<&SlotRecord>,
    ) -> Result<(), BuildError> {
        let vertex = self.vertex(number);
        let view = stack.view();
        let previous = self.previous(number, before)?;
        let run = || -> Result<(), CopyError> {
            let options = TransferOptions {
                destination: copy.destination.as_bytes(),
                owner: self.owner(copy, &view)?,
                chmod: copy.chmod.as_ref(),
                clamp: self.source_date_epoch,
                parents: copy.parents,
                previous: previous.as_ref(),
            };
            let mut writer =
                TreeWriter::new(tree, &view, self.host.store.options().overlay_xattrs)?;
            self.with_sources(number, copy, inputs, |source, selected| {
                self.put_all(number, copy, source, selected, &mut writer, &options)
            })?;
            Ok(writer.finish()?)
        };
        run().map_err(|error| failure::of_copy(vertex, &error))
    }

    fn put_all(
        &self,
        number: VertexId,
        copy: &CopyOp,
        source: Option<&SourceTree<'_>>,
        selected: &[Vec<Selected>],
        writer: &mut TreeWriter,
        options: &TransferOptions<'_>,
    ) -> Result<(), CopyError> {
        // Without --chown the files of an archive keep the owners that it gives them.
        let chown = options.owner.filter(|_| copy.chown.is_some());
        for (index, one) in copy.sources.iter().enumerate() {
            match (one, source) {
                (CopySource::Inline(file), _) => self.put_inline(writer, file, options)?,
                (CopySource::Path(_), Some(source)) => {
                    for taken in selected.get(index).map_or(&[][..], Vec::as_slice) {
                        if copy.unpack && unpack::unpack(writer, source, taken, chown, options)? {
                            continue;
                        }
                        Transfer::new(writer, source, options).put(taken)?;
                    }
                }
                (CopySource::Remote { source, unpack }, _) => {
                    let found = self.prepared[number].found.get(index);
                    let fetched = self.fetched(copy, source, found.and_then(Option::as_ref))?;
                    let tree = fetched.tree();
                    for taken in &fetched.selected {
                        if *unpack && unpack::unpack(writer, &tree, taken, chown, options)? {
                            continue;
                        }
                        Transfer::new(writer, &tree, options).put(taken)?;
                    }
                }
                (CopySource::Path(_), None) => {
                    return Err(CopyError::Other("there is nothing to copy from".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn put_inline(
        &self,
        writer: &mut TreeWriter,
        file: &InlineFile,
        options: &TransferOptions<'_>,
    ) -> Result<(), CopyError> {
        let time = (self.now(), 0);
        let target = place(writer, options.destination, false, file.name.as_bytes())?;
        let made = made_on_the_way(options, Some(time));
        writer.ensure_directory(path::parent(&target), &made, &made)?;
        let mode = options
            .chmod
            .map_or(INLINE_MODE, |chmod| chmod.apply(INLINE_MODE, false));
        let (uid, gid) = options.owner.unwrap_or((0, 0));
        let attributes = Attributes {
            mode,
            uid,
            gid,
            mtime: Some(time),
            xattrs: Vec::new(),
        };
        writer.file_from(&target, &mut file.content.as_bytes(), &attributes)?;
        Ok(())
    }

    /// Calls `work` with the tree that is copied from and what the sources name in it.
    fn with_sources<R>(
        &self,
        number: VertexId,
        copy: &CopyOp,
        inputs: &[SharedState],
        work: impl FnOnce(Option<&SourceTree<'_>>, &[Vec<Selected>]) -> Result<R, CopyError>,
    ) -> Result<R, CopyError> {
        match &copy.from {
            BindSource::Context(name) => {
                let source = self.contexts.get(name).map(crate::context::Context::tree);
                work(source.as_ref(), &self.prepared[number].taken)
            }
            BindSource::Source(index) => {
                let state = &inputs[index + 1];
                let view = state
                    .stack(&self.host.store)
                    .map_err(|error| CopyError::Other(error.to_string()))?
                    .view();
                let name = self.source_name(number, *index);
                let source = SourceTree {
                    view: &view,
                    ignore: None,
                    name: &name,
                };
                let selected = select_sources(&source, copy)?;
                work(Some(&source), &selected)
            }
        }
    }

    pub(super) fn source_name(&self, number: VertexId, index: usize) -> String {
        let vertex = self.vertex(number).sources[index];
        let origin = &self.graph.vertices[vertex].origin;
        if origin.stage.is_empty() {
            origin.name.clone()
        } else {
            origin.stage.clone()
        }
    }

    /// The owner of what is copied: files of a context belong to root, files of an image keep their owner.
    fn owner(&self, copy: &CopyOp, view: &View) -> Result<Option<(u32, u32)>, CopyError> {
        match (&copy.chown, &copy.from) {
            (Some(chown), _) => match accounts::owner(view, chown) {
                Ok(owner) => Ok(Some(owner)),
                // BuildKit takes a name that the image does not know for root.
                Err(_) if copy.strict => Ok(Some((0, 0))),
                Err(error) => Err(CopyError::Account(format!("--chown={chown}: {error}"))),
            },
            (None, BindSource::Context(_)) => Ok(Some((0, 0))),
            (None, BindSource::Source(_)) => Ok(None),
        }
    }

    /// The layer of an earlier run, if one is known that took files from a context.
    fn previous(
        &self,
        number: VertexId,
        before: Option<&SlotRecord>,
    ) -> Result<Option<Previous>, BuildError> {
        let Some(before) = before.filter(|before| !before.slot.files.is_empty()) else {
            return Ok(None);
        };
        let Ok(stack) = self.host.store.stack(&[before.result.layer]) else {
            return Ok(None);
        };
        Ok(Some(Previous::new(
            stack.view(),
            &before.slot.files,
            &self.prepared[number].slot.files,
        )))
    }

    /// Adds the identity of what a copy takes and of what it reads of its destination.
    pub(super) fn copied_content(
        &self,
        hasher: &mut KeyHasher,
        number: VertexId,
        copy: &CopyOp,
        inputs: &[SharedState],
    ) -> Result<(), BuildError> {
        let vertex = self.vertex(number);
        let view = inputs[0].stack(&self.host.store)?.view();
        let mut read = || -> Result<(), CopyError> {
            hasher.value(&self.owner(copy, &view)?);
            let destination = copy.destination.as_bytes();
            reads::way(hasher, &view, destination)?;
            self.with_sources(number, copy, inputs, |source, selected| {
                for (one, found) in copy.sources.iter().zip(&self.prepared[number].found) {
                    if let CopySource::Remote { source, .. } = one {
                        let fetched = self.fetched(copy, source, found.as_ref())?;
                        reads::overwritten(hasher, &view, destination, &fetched.selected)?;
                    }
                }
                for one in selected {
                    reads::overwritten(hasher, &view, destination, one)?;
                    if let (BindSource::Source(_), Some(source)) = (&copy.from, source) {
                        let owner_matters = copy.chown.is_none();
                        hasher.raw(&digest(
                            source,
                            one,
                            owner_matters,
                            self.layer_hashes,
                            &mut Vec::new(),
                        )?);
                    }
                }
                Ok(())
            })
        };
        read().map_err(|error| failure::of_copy(vertex, &error))
    }
}
