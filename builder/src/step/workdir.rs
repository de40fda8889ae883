//! `WORKDIR`: a directory that is there afterwards.

use kiln_store::tree::{Attributes, TreeWriter};
use kiln_store::{Follow, NewTree, Stack, View, accounts};

use super::state::FileState;
use super::{Engine, failure, reads};
use crate::cache::KeyHasher;
use crate::copy::CopyError;
use crate::error::BuildError;
use crate::graph::{Vertex, WorkdirOp};

/// The mode of a directory that `WORKDIR` makes.
const MODE: u32 = 0o755;

impl Engine<'_> {
    pub(super) fn workdir(
        &self,
        vertex: &Vertex,
        workdir: &WorkdirOp,
        stack: &Stack,
        tree: &NewTree,
    ) -> Result<(), BuildError> {
        self.make(workdir, stack, tree)
            .map_err(|error| failure::of_copy(vertex, &error))
    }

    fn make(&self, workdir: &WorkdirOp, stack: &Stack, tree: &NewTree) -> Result<(), CopyError> {
        let view = stack.view();
        let (uid, gid) = owner(&view, &workdir.user)?;
        let mut writer = TreeWriter::new(tree, &view, self.host.store.options().overlay_xattrs)?;
        let place = writer.resolve(workdir.path.as_bytes(), Follow::All)?.path;
        // A fixed time: the same WORKDIR makes the same layer whenever it runs.
        let attributes = Attributes {
            mode: MODE,
            uid,
            gid,
            mtime: Some((0, 0)),
            xattrs: Vec::new(),
        };
        let above = Attributes {
            uid: 0,
            gid: 0,
            ..attributes.clone()
        };
        writer.ensure_directory(&place, &attributes, &above)?;
        Ok(writer.finish()?)
    }

    pub(super) fn workdir_content(
        &self,
        hasher: &mut KeyHasher,
        vertex: &Vertex,
        workdir: &WorkdirOp,
        root: &FileState,
    ) -> Result<(), BuildError> {
        let view = root.stack(&self.host.store)?.view();
        let read = || -> Result<(), CopyError> {
            let (uid, gid) = owner(&view, &workdir.user)?;
            hasher.number(u64::from(uid));
            hasher.number(u64::from(gid));
            reads::way(hasher, &view, workdir.path.as_bytes())
        };
        let mut read = read;
        read().map_err(|error| failure::of_copy(vertex, &error))
    }
}

/// Who a directory that the image's user gets belongs to.
fn owner(view: &View, user: &str) -> Result<(u32, u32), CopyError> {
    if user.is_empty() {
        Ok((0, 0))
    } else {
        Ok(accounts::owner(view, user)?)
    }
}
