//! From a tree that a step wrote to a layer.

use kiln_store::{CommitOptions, LayerRecord, NewTree, Stack};

use super::{Engine, failure};
use crate::error::BuildError;
use crate::graph::Vertex;

impl Engine<'_> {
    /// Makes a layer of what a step wrote.
    pub(super) fn commit(
        &self,
        tree: &NewTree,
        below: &Stack,
        vertex: &Vertex,
    ) -> Result<LayerRecord, BuildError> {
        let options = CommitOptions {
            clamp_mtime: self.source_date_epoch,
            compression: None,
        };
        self.host
            .store
            .commit_files(tree, below, &options)
            .map_err(|error| {
                failure::step(
                    &vertex.origin,
                    format!("cannot write the layer: {error}"),
                    None,
                )
            })
    }
}
