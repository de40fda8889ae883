//! Writing straight into a layer in the making, as COPY, ADD and WORKDIR do: no overlay mount is needed.
//!
//! A [`TreeWriter`] keeps the upper directory in overlay's form: what is written to lies in directories copied up with
//! the attributes they have below; removing what lies below leaves a whiteout; a directory that replaces one is opaque.
//! Times of directories that get new entries stay what they were, so that the same files give the same layer whenever
//! they are copied; [`TreeWriter::finish`] sets them.
//!
//! Paths given to a writer are real paths: no component may be a link. [`TreeWriter::resolve`] makes them from what a user
//! wrote. One thread at a time uses a writer; several writers on one tree would disturb each other.

mod directory;
mod make;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use super::attributes::{Time, set_mtime};
use super::owner::Owners;
use super::{NewTree, beneath, path, xattr};
use crate::OverlayXattrs;
use crate::layer::{LayerError, Result};
use crate::view::{Entry, Follow, View};

/// Writes into a layer in the making, above what a view shows.
#[derive(Debug)]
pub struct TreeWriter {
    root: Rc<OwnedFd>,
    family: OverlayXattrs,
    owners: Owners,
    /// What lies below alone.
    below: View,
    /// That with this layer on top.
    merged: View,
    /// The directory that was used last: files come directory by directory.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// The times that directories shall have in the end.
    times: HashMap<Vec<u8>, Time>,
    /// The access control lists that directories shall hand down in the end, not to what is written now.
    default_acls: HashMap<Vec<u8>, Vec<u8>>,
    /// Their bytes.
    list_bytes: usize,
}

/// Bytes of access control lists that are kept for the end: those of a hundred thousand directories, but no tree may fill the memory.
const MAX_LISTS: usize = 16 << 20;

/// Where a path leads in the merged tree.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The real path, links followed as far as there is something; names that don't exist yet are kept as they are.
    pub path: Vec<u8>,
    /// What is there already.
    pub existing: Option<Entry>,
}

impl TreeWriter {
    /// Starts writing into a tree above a view.
    pub fn new(tree: &NewTree, below: &View, family: OverlayXattrs) -> Result<Self> {
        Self::at(tree.fs(), tree.open()?, below, family)
    }

    pub(crate) fn at(
        upper: &Path,
        root: OwnedFd,
        below: &View,
        family: OverlayXattrs,
    ) -> Result<Self> {
        let merged = below.with_upper(upper, family);
        let owners =
            Owners::of(family, &root).map_err(|error| LayerError::entry("open", b"", error))?;
        Ok(Self {
            root: Rc::new(root),
            family,
            owners,
            below: below.clone(),
            merged,
            last: None,
            times: HashMap::new(),
            default_acls: HashMap::new(),
            list_bytes: 0,
        })
    }

    /// The tree as it stands: what lies below with what was written so far.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.merged
    }

    /// Follows the links of a path inside the root, those at its end included unless `follow` says otherwise; `..` stops at
    /// the root.
    ///
    /// It is an error when something that is no directory lies in the middle of the path.
    pub fn resolve(&self, wanted: &[u8], follow: Follow) -> Result<Destination> {
        let Some(resolved) = self.merged.resolve(wanted, follow)? else {
            return Err(LayerError::NotADirectory {
                path: path::display(wanted),
            });
        };
        if resolved.missing.is_empty() {
            return Ok(Destination {
                path: resolved.found.path.clone(),
                existing: Some(resolved.found),
            });
        }
        if !resolved.found.meta.is_directory() {
            return Err(LayerError::NotADirectory {
                path: resolved.found.display(),
            });
        }
        let missing = resolved.missing.join(&b'/');
        Ok(Destination {
            path: path::join(&resolved.found.path, &missing),
            existing: None,
        })
    }

    /// Sets the times of all directories that were written to. Without it they have the time of the last write.
    pub fn finish(mut self) -> Result<()> {
        self.last = None;
        for (path, time) in &self.times {
            match beneath::open(&*self.root, path, beneath::DIRECTORY) {
                Ok(held) => {
                    if let Some(acl) = self.default_acls.get(path) {
                        xattr::set_on_open(&held, xattr::DEFAULT_ACL, acl).map_err(|error| {
                            LayerError::entry("set an extended attribute of", path, error)
                        })?;
                    }
                    set_mtime(&held, b"", *time, path)?;
                }
                // Replaced or removed after it was written to.
                Err(
                    rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP,
                ) => {}
                Err(error) => return Err(LayerError::entry("open", path, error)),
            }
        }
        Ok(())
    }
}
