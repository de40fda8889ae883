//! What a vertex gives to those that stand on it: a stack of layers.

use std::sync::Arc;

use kiln_store::{ContentDigest, DiffId, Stack, Store};

use crate::cache::KeyHasher;
use crate::error::BuildError;

/// Layers with the identity of what they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileState {
    /// The layers, lowest first.
    pub(crate) layers: Vec<DiffId>,
    /// What they hold, without times.
    pub(crate) content: [u8; 32],
}

impl FileState {
    /// No files at all.
    pub(crate) fn empty() -> Self {
        Self {
            layers: Vec::new(),
            content: KeyHasher::new("chain").finish(),
        }
    }

    /// The same with one more layer on top.
    pub(crate) fn with(&self, layer: DiffId, content: &ContentDigest) -> Self {
        let mut hasher = KeyHasher::new("chain");
        hasher.raw(&self.content);
        hasher.raw(content.as_bytes());
        let mut layers = self.layers.clone();
        layers.push(layer);
        Self {
            layers,
            content: hasher.finish(),
        }
    }

    /// The layers of an image that is present in the store.
    pub(crate) fn of_image(store: &Store, layers: &[DiffId]) -> Result<Self, BuildError> {
        let mut state = Self::empty();
        for layer in layers {
            let record = store
                .layer(layer)
                .map_err(|error| BuildError::host(format!("cannot read layer {layer}"), error))?
                .ok_or_else(|| {
                    BuildError::host(
                        "cannot use the base image",
                        format!("its layer {layer} is not in the store"),
                    )
                })?;
            state = state.with(*layer, &record.content);
        }
        Ok(state)
    }

    /// Stacks the layers, to look into them or to mount them.
    pub(crate) fn stack(&self, store: &Store) -> Result<Stack, BuildError> {
        store
            .stack(&self.layers)
            .map_err(|error| BuildError::host("cannot stack layers", error))
    }
}

/// A state as it is handed around.
pub(crate) type SharedState = Arc<FileState>;
