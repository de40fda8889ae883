//! The layer that an earlier run of a copy made: files that did not change are taken over from it without being copied.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use kiln_store::tree::{Attributes, path};
use kiln_store::view::{Entry, Follow, View};

use super::CopyError;

/// An earlier layer, and which of its source's files are known to be the same now.
#[derive(Debug)]
pub(crate) struct Previous {
    view: View,
    same: HashSet<Vec<u8>>,
    /// The directory of the layer that was looked into last.
    listed: RefCell<Option<Listed>>,
}

/// A directory with its entries by their paths.
type Listed = (Vec<u8>, HashMap<Vec<u8>, Entry>);

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
            listed: RefCell::new(None),
        }
    }

    /// Finds the file that an unchanged source became, if it still has the attributes that it would get now; extended
    /// attributes are part of what `same` compares.
    pub(crate) fn unchanged(
        &self,
        place: &[u8],
        source: &Entry,
        attributes: &Attributes,
    ) -> Result<Option<(&View, Entry)>, CopyError> {
        if !self.same.contains(&source.path) {
            return Ok(None);
        }
        let Some(entry) = self.entry(place)? else {
            return Ok(None);
        };
        let meta = &entry.meta;
        let is_same = meta.is_file()
            && meta.size == source.meta.size
            && (meta.mode, meta.uid, meta.gid) == (attributes.mode, attributes.uid, attributes.gid)
            && Some((meta.mtime, meta.mtime_nsec)) == attributes.mtime;
        Ok(is_same.then_some((&self.view, entry)))
    }

    /// Looks a place up in the earlier layer. Files come directory by directory, so a directory is read at once.
    fn entry(&self, place: &[u8]) -> Result<Option<Entry>, CopyError> {
        let directory = path::parent(place);
        let mut listed = self.listed.borrow_mut();
        if listed.as_ref().is_none_or(|(path, _)| path != directory) {
            let found = self.view.lookup(directory, Follow::Nothing)?;
            let entries = match found.filter(|entry| entry.meta.is_directory()) {
                Some(entry) => self.view.read_dir(&entry)?,
                None => Vec::new(),
            };
            let by_path = entries.into_iter().map(|entry| (entry.path.clone(), entry));
            *listed = Some((directory.to_vec(), by_path.collect()));
        }
        let found = listed.as_ref().and_then(|(_, entries)| entries.get(place));
        Ok(found.cloned())
    }
}
