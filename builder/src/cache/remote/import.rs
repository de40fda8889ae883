//! Reading caches, and fetching the layers that a build needs of them.

use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::Fuse;
use kiln_registry::{Access, ByteStream};
use kiln_store::{
    Descriptor, DiffId, ImageConfig, Limits, MANIFEST_LIMIT, Manifest, Store, media_type,
};

use super::{CONFIG, CacheLocation, Document, INLINE, Imported, Opened, VERSION};
use crate::cache::StepResult;
use crate::error::BuildError;
use crate::event::{Event, Sink};
use crate::registry_images::ClientProvider;

/// The largest list of records that is read: a record has some 300 bytes.
const DOCUMENT_LIMIT: u64 = 64 << 20;

impl Imported {
    /// Reads all locations. One that cannot be read costs time, not the build.
    pub(crate) fn read(
        locations: &[CacheLocation],
        client: Option<&ClientProvider>,
        events: &dyn Sink,
    ) -> Self {
        let mut imported = Self::default();
        for location in locations {
            let read = location
                .open(client, Access::Pull)
                .and_then(|opened| read_one(&opened).map(|read| (opened, read)));
            match read {
                Ok((opened, (document, blobs))) => imported.take(opened, document, blobs),
                Err(reason) => {
                    let message = format!("no cache is imported from {location}: {reason}");
                    events.event(Event::Warning(&message));
                }
            }
        }
        imported
    }

    fn take(&mut self, opened: Opened, document: Document, blobs: Vec<Descriptor>) {
        let source = self.sources.len();
        self.sources.push(opened);
        for (layer, blob) in document.layers.iter().zip(blobs) {
            self.blobs.entry(*layer).or_insert((source, blob));
        }
        for record in document.records {
            // A record whose layer is not there is of no use.
            if self.blobs.contains_key(&record.result.layer) {
                self.results
                    .entry((record.kind, record.key))
                    .or_insert(record.result);
            }
        }
        self.operations.extend(document.operations);
    }

    /// Makes the layer of an imported result present. What cannot be fetched is forgotten, with all results that need it.
    pub(crate) fn fetch(&self, store: &Store, result: &StepResult) -> Result<(), BuildError> {
        self.fetch_layer(store, &result.layer).inspect_err(|_| {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.insert(result.layer);
        })
    }

    fn fetch_layer(&self, store: &Store, layer: &DiffId) -> Result<(), BuildError> {
        let failed = |error: &dyn std::fmt::Display| {
            BuildError::host(
                format!("cannot fetch layer {layer} from the imported cache"),
                error,
            )
        };
        let is_here = store
            .layer(layer)
            .map_err(|error| failed(&error))?
            .is_some();
        let Some((source, blob)) = self.blobs.get(layer).filter(|_| !is_here) else {
            return Ok(());
        };
        let opened = &self.sources[*source];
        let stream = opened
            .runtime
            .block_on(opened.repository.blob(blob, 0))
            .map_err(|error| failed(&error))?;
        let mut reader = StreamReader {
            opened,
            stream: stream.fuse(),
            piece: bytes::Bytes::new(),
        };
        store
            .ingest_layer(&mut reader, blob, layer, &Limits::default())
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// The records of one location with the blobs of its layers.
fn read_one(opened: &Opened) -> Result<(Document, Vec<Descriptor>), String> {
    let resolved = opened
        .runtime
        .block_on(opened.repository.manifest(&opened.name))
        .map_err(|error| error.to_string())?;
    let manifest: Manifest =
        serde_json::from_slice(&resolved.bytes).map_err(|error| error.to_string())?;
    let is_image = media_type::is_image_config(&manifest.config.media_type);
    if !is_image && manifest.config.media_type != CONFIG {
        return Err(format!(
            "it holds {} and no cache of kiln's",
            manifest.config.media_type
        ));
    }
    let limit = if is_image {
        MANIFEST_LIMIT
    } else {
        DOCUMENT_LIMIT
    };
    let bytes = read_blob(opened, &manifest.config, limit)?;
    let document = match is_image {
        true => inline(&bytes)?,
        false => serde_json::from_slice(&bytes).map_err(|error| error.to_string())?,
    };
    if document.version != VERSION {
        return Err(format!("its version is {}", document.version));
    }
    Ok((document, manifest.layers))
}

/// The records that an image carries in its configuration.
fn inline(bytes: &[u8]) -> Result<Document, String> {
    let config: ImageConfig = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let document = config
        .extra
        .get(INLINE)
        .ok_or("the image carries no cache (--cache-to type=inline)")?;
    let mut document: Document =
        serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    document.layers = config.diff_ids().to_vec();
    Ok(document)
}

fn read_blob(opened: &Opened, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, String> {
    if blob.size > limit {
        return Err(format!("its list of records has {} bytes", blob.size));
    }
    let read = async {
        let mut stream = opened.repository.blob(blob, 0).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
            if bytes.len() as u64 > limit {
                break;
            }
        }
        Ok::<_, kiln_registry::Error>(bytes)
    };
    let bytes = opened
        .runtime
        .block_on(read)
        .map_err(|error| error.to_string())?;
    if kiln_store::Digest::sha256(&bytes) != blob.digest {
        return Err("its list of records does not fit its digest".to_owned());
    }
    Ok(bytes)
}

/// A stream as a reader, for a thread that may wait.
struct StreamReader<'a> {
    opened: &'a Opened,
    stream: Fuse<ByteStream>,
    piece: bytes::Bytes,
}

impl std::io::Read for StreamReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.opened.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(std::io::Error::other)?,
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

/// A layer that could not be fetched, and why.
pub(crate) type Lost = (DiffId, BuildError);

/// Fetches the layers of several imported results at once. Returns those that could not be had.
pub(crate) fn fetch_ahead(imported: &Imported, store: &Store, results: &[StepResult]) -> Vec<Lost> {
    /// As many as a registry likes from one client.
    const AT_ONCE: usize = 4;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let lost = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(results.len()) {
            scope.spawn(|| {
                while let Some(result) =
                    results.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    if let Err(error) = imported.fetch(store, result) {
                        let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
                        lost.push((result.layer, error));
                    }
                }
            });
        }
    });
    lost.into_inner().unwrap_or_else(PoisonError::into_inner)
}
