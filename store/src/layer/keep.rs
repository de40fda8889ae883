//! Putting a finished layer in its place.

use std::path::PathBuf;

use super::record::FILES;
use super::{LayerRecord, Result};
use crate::store::lease::Held;
use crate::tree::NewTree;
use crate::{Descriptor, DiffId, Store};

/// Whose directory a layer has now.
pub(super) enum Kept {
    /// The one just made.
    New(LayerRecord),
    /// One that was there before, perhaps above another stack.
    Known(LayerRecord),
}

impl Store {
    /// Renames a tree to its place as a layer. When the layer is there already, that one stays and learns of the new blobs.
    pub(super) fn keep_layer(&self, tree: &NewTree, record: LayerRecord) -> Result<Kept> {
        let thing = Held::Layer(record.diff_id);
        loop {
            if self.put_directory(thing, tree.layer(), &needs(&record), &record)? {
                return Ok(Kept::New(record));
            }
            // One that can't be read is taken away by the look at it; then ours goes in its place.
            if let Some(existing) = self.layer(&record.diff_id)? {
                return self.add_blobs(existing, &record.blobs).map(Kept::Known);
            }
        }
    }

    /// Notes further blobs of a layer.
    pub(super) fn add_blobs(
        &self,
        known: LayerRecord,
        blobs: &[Descriptor],
    ) -> Result<LayerRecord> {
        let is_new = |record: &LayerRecord, blob: &Descriptor| {
            record.blobs.iter().all(|old| old.digest != blob.digest)
        };
        if !blobs.iter().any(|blob| is_new(&known, blob)) {
            return Ok(known);
        }
        let _lock = self.lock(&lock_name(&known.diff_id))?;
        let mut record = self.layer(&known.diff_id)?.unwrap_or(known);
        for blob in blobs {
            if is_new(&record, blob) {
                record.blobs.push(blob.clone());
            }
        }
        self.update_directory(Held::Layer(record.diff_id), &needs(&record), &record)?;
        Ok(record)
    }

    /// Where a layer's files are.
    pub(crate) fn layer_files(&self, diff_id: &DiffId) -> PathBuf {
        self.layer_path(diff_id).join(FILES)
    }
}

fn needs(record: &LayerRecord) -> Vec<Held> {
    record
        .blobs
        .iter()
        .map(|blob| Held::Blob(blob.digest))
        .collect()
}

fn lock_name(diff_id: &DiffId) -> String {
    format!("layer-{}", diff_id.digest().hex())
}
