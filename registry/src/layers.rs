//! The store's layers, as a transfer needs them: is it here, take it in, give its blob.

use std::io::Read;

use kiln_store::{BlobWriter, Compression, Descriptor, DiffId, Limits, Store};

use crate::error::{Error, Result};

/// Whether a layer is unpacked in the store.
pub(crate) fn has(store: &Store, layer: &DiffId) -> Result<bool> {
    Ok(store.layer(layer)?.is_some())
}

/// The gzip blob that a layer has already, if any.
pub(crate) fn known_blob(store: &Store, layer: &DiffId) -> Result<Option<Descriptor>> {
    let Some(record) = store.layer(layer)? else {
        return Ok(None);
    };
    for blob in record.blobs {
        if blob.media_type == Compression::GZIP.media_type()
            && store.blob_size(&blob.digest)? == Some(blob.size)
        {
            return Ok(Some(blob));
        }
    }
    Ok(None)
}

/// Makes or finds the gzip blob of a layer.
pub(crate) fn make_blob(store: &Store, layer: &DiffId) -> Result<Descriptor> {
    Ok(store.layer_blob(layer, Compression::GZIP)?)
}

/// Unpacks a layer from its blob as received; both digests are verified.
pub(crate) fn ingest(
    store: &Store,
    reader: &mut dyn Read,
    blob: &Descriptor,
    layer: &DiffId,
) -> Result<()> {
    let unpacked = store.ingest_layer(reader, blob, layer, &Limits::default());
    unpacked.map_err(|source| Error::Unpack {
        blob: Box::new(blob.digest),
        source: Box::new(source),
    })?;
    Ok(())
}

/// The same for a download that was taken up: what it holds comes before what the reader gives.
pub(crate) fn ingest_download(
    store: &Store,
    download: BlobWriter,
    reader: &mut dyn Read,
    blob: &Descriptor,
    layer: &DiffId,
) -> Result<()> {
    let unpacked = store.ingest_download(download, reader, blob, layer, &Limits::default());
    unpacked.map_err(|source| Error::Unpack {
        blob: Box::new(blob.digest),
        source: Box::new(source),
    })?;
    Ok(())
}
