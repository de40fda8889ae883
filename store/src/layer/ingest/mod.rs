//! Unpacking archives as they arrive.
use super::{LayerError, LayerRecord, Limits, Result};
use crate::{Descriptor, DiffId, Store};
use std::io::Read;
impl Store {
    /// Unpacks a layer while it is received.
    pub fn ingest_layer(
        &self,
        reader: &mut dyn Read,
        blob: &Descriptor,
        expected: &DiffId,
        limits: &Limits,
    ) -> Result<LayerRecord> {
        let _ = (reader, blob, limits);
        Err(LayerError::Missing(expected.to_string()))
    }
}
