//! A layer in the making.
//!
//! ```text
//! tmp/tree-<random>/
//!   layer/fs      what the step or COPY writes: the upper directory of its overlay mount
//!   layer/owners  what links and pipes in it belong to, where that is recorded (module `owner`)
//!   work          overlay's own scratch
//! ```
//!
//! `layer` is renamed to its place once the digest is known. Until then dropping the value deletes everything.

use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::attributes::{Attributes, no_excuse, set_mtime};
use super::owner::Owners;
use crate::layer::{LayerError, Result};
use crate::{Stack, Store, TemporaryDirectory};

/// The upper directory of a layer in the making, with its work directory. Deleted when dropped.
#[derive(Debug)]
pub struct NewTree {
    _temporary: TemporaryDirectory,
    layer: PathBuf,
    fs: PathBuf,
    work: PathBuf,
}

impl NewTree {
    /// Where the layer's files go: the `upperdir` of an overlay mount.
    #[must_use]
    pub fn fs(&self) -> &Path {
        &self.fs
    }

    /// The `workdir` that belongs to it.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The directory that becomes the layer's.
    pub(crate) fn layer(&self) -> &Path {
        &self.layer
    }

    pub(crate) fn open(&self) -> Result<OwnedFd> {
        File::open(&self.fs)
            .map(OwnedFd::from)
            .map_err(|error| LayerError::host("open", &self.fs, error))
    }
}

impl Store {
    /// Starts a layer above a stack. Its root has the attributes of the stack's root, as an overlay mount shows the root of
    /// its topmost directory.
    pub fn new_tree(&self, below: &Stack) -> Result<NewTree> {
        let tree = self.bare_tree()?;
        let view = below.view();
        let root = view.root()?;
        let held = tree.open()?;
        // Without anything below, the root belongs to whoever makes it.
        if !below.layers().is_empty() {
            let attributes = Attributes::of(&root.meta, view.xattrs(&root)?);
            attributes.set_on_open(&self.owners(&held)?, &held, b"", &mut no_excuse(b""))?;
        }
        set_mtime(&held, b"", (root.meta.mtime, root.meta.mtime_nsec), b"")?;
        Ok(tree)
    }

    /// Who keeps the owners of a tree of this store.
    pub(crate) fn owners(&self, root: &OwnedFd) -> Result<Owners> {
        Owners::of(self.options().overlay_xattrs, root)
            .map_err(|error| LayerError::entry("open", b"", error))
    }

    /// A tree whose root nobody has said anything about yet.
    pub(crate) fn bare_tree(&self) -> Result<NewTree> {
        let temporary = self.temporary_directory("tree")?;
        let layer = temporary.path().join("layer");
        let tree = NewTree {
            fs: layer.join("fs"),
            work: temporary.path().join("work"),
            layer,
            _temporary: temporary,
        };
        for (path, mode) in [(&tree.layer, 0o700), (&tree.fs, 0o755), (&tree.work, 0o700)] {
            DirBuilder::new()
                .mode(mode)
                .create(path)
                .map_err(|error| LayerError::host("create", path, error))?;
        }
        Ok(tree)
    }
}
