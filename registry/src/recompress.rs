//! A layer in another compression, in a file without a name.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use kiln_store::{Compression, Descriptor, Digest, Hasher, Limits};

use crate::content::Repository;
use crate::error::{Error, Result};
use crate::pull::{Pipe, pump};
use crate::source::{SpooledBlob, blocking};

/// What is read and written at once.
const BUFFER: usize = 256 << 10;

/// A layer compressed anew.
pub(crate) struct Recompressed {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its size.
    pub(crate) size: u64,
    /// Its bytes.
    pub(crate) blob: SpooledBlob,
}

/// Reads a layer from a repository, verifies it and compresses it anew.
pub(crate) async fn recompress(
    from: &dyn Repository,
    layer: &Descriptor,
    wanted: Compression,
    scratch: &Path,
) -> Result<Recompressed> {
    let first = from.blob(layer, 0).await?;
    let (pipe, reader) = Pipe::new();
    let (blob, scratch) = (layer.clone(), scratch.to_owned());
    let pack = blocking("compressing a layer", move || {
        let file = tempfile::tempfile_in(&scratch).map_err(|error| Error::io(&scratch, error))?;
        let mut source = Verified {
            reader,
            hasher: Hasher::new(blob.digest.algorithm()),
        };
        let mut target = BufWriter::with_capacity(BUFFER, &file);
        let failed = |source| Error::Unpack {
            blob: Box::new(blob.digest),
            source: Box::new(source),
        };
        let packed = kiln_store::layer::repack(
            BufReader::with_capacity(BUFFER, &mut source),
            &mut target,
            wanted,
            &Limits::default(),
        );
        // A source that is not what its digest says explains every other mistake in it.
        if packed.is_ok() {
            std::io::copy(&mut source, &mut std::io::sink())
                .map_err(|error| Error::io(&scratch, error))?;
        }
        let (digest, size) = packed.map_err(failed)?;
        let actual = source.hasher.finish();
        if actual != blob.digest {
            return Err(Error::Corrupt {
                what: format!("blob {}", blob.digest),
                expected: blob.digest.to_string(),
                actual: actual.to_string(),
            });
        }
        target.flush().map_err(|error| Error::io(&scratch, error))?;
        drop(target);
        Ok(Recompressed {
            digest,
            size,
            blob: SpooledBlob {
                file: Arc::new(file),
                start: 0,
                size,
                name: format!("layer {digest}"),
            },
        })
    });
    let (sent, packed) = tokio::join!(pump(from, layer, 0, first, pipe, &|_| {}), pack);
    match (sent, packed) {
        // If both failed: the network if it broke off, else the reason why nobody read on.
        (Err(error), _) if !matches!(error, Error::Interrupted(_)) => Err(error),
        (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
        (Ok(()), Ok(packed)) => Ok(packed),
    }
}

/// Hashes what is read.
struct Verified<R> {
    reader: R,
    hasher: Hasher,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}
