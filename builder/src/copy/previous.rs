//! The layer that an earlier run of a copy made: files that did not change are taken over from it without being copied.

use std::collections::{BTreeMap, HashSet};

use kiln_store::tree::Attributes;
use kiln_store::view::{Entry, Follow, View};

use super::CopyError;

/// An earlier layer, and which of its source's files are known to be the same now.
#[derive(Debug)]
pub(crate) struct Previous {
    view: View,
    same: HashSet<Vec<u8>>,
}

impl Previous {
    /// Compares the files that were taken then with those that are taken now.
    pub(crate) fn new(
        view: View,
        before: &BTreeMap<String, String>,
        now: &BTreeMap<String, String>,
    ) -> Self {
        let same = now
            .iter()
            .filter(|(path, hash)| before.get(*path) == Some(*hash));
        Self {
            view,
            same: same.map(|(path, _)| path.clone().into_bytes()).collect(),
        }
    }

    /// Finds the file that an unchanged source became, if it still has the attributes that it would get now.
    pub(crate) fn unchanged(
        &self,
        place: &[u8],
        source: &Entry,
        attributes: &Attributes,
    ) -> Result<Option<(&View, Entry)>, CopyError> {
        if !self.same.contains(&source.path) {
            return Ok(None);
        }
        let Some(entry) = self.view.lookup(place, Follow::Nothing)? else {
            return Ok(None);
        };
        let meta = &entry.meta;
        let is_same = meta.is_file()
            && meta.size == source.meta.size
            && (meta.mode, meta.uid, meta.gid) == (attributes.mode, attributes.uid, attributes.gid)
            && Some((meta.mtime, meta.mtime_nsec)) == attributes.mtime
            && attributes.xattrs.is_empty();
        Ok(is_same.then_some((&self.view, entry)))
    }
}
