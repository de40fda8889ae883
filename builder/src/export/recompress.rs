//! A layer under another compression, when its blob is all there is to go by: layers of base images.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};

use kiln_store::media_type::{self, LayerCompression};
use kiln_store::{BlobWriter, Compression, Descriptor, Store};

use crate::error::BuildError;

/// Copied at once.
const PIECE: usize = 256 << 10;

/// The layer in the wanted compression: itself if it has it, else a new blob of the same tar.
pub(super) fn recompress(
    store: &Store,
    layer: &Descriptor,
    compression: Compression,
) -> Result<Descriptor, BuildError> {
    let Some(present) = media_type::layer_compression(&layer.media_type) else {
        return Ok(layer.clone());
    };
    let same = matches!(
        (present, compression),
        (LayerCompression::None, Compression::None)
            | (LayerCompression::Gzip, Compression::Gzip(_))
            | (LayerCompression::Zstd, Compression::Zstd(_))
    );
    if same {
        return Ok(layer.clone());
    }
    let failed = |error: &dyn std::fmt::Display| {
        BuildError::host(
            format!("cannot compress layer {} another way", layer.digest),
            error,
        )
    };
    let blob = store
        .open_blob(&layer.digest)
        .map_err(|error| failed(&error))?;
    let writer = store.blob_writer().map_err(|error| failed(&error))?;
    let writer = convert(blob, present, writer, compression).map_err(|error| failed(&error))?;
    let (digest, size) = writer.finish(None).map_err(|error| failed(&error))?;
    Ok(Descriptor::new(compression.media_type(), digest, size))
}

fn convert(
    blob: File,
    present: LayerCompression,
    writer: BlobWriter,
    wanted: Compression,
) -> io::Result<BlobWriter> {
    let blob = BufReader::with_capacity(PIECE, blob);
    let mut tar: Box<dyn Read> = match present {
        LayerCompression::None => Box::new(blob),
        LayerCompression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(blob)),
        LayerCompression::Zstd => Box::new(zstd::Decoder::with_buffer(blob)?),
    };
    match wanted {
        Compression::None => {
            let mut writer = writer;
            io::copy(&mut tar, &mut writer)?;
            Ok(writer)
        }
        Compression::Gzip(level) => {
            let level = flate2::Compression::new(u32::from(level));
            let mut encoder = flate2::write::GzEncoder::new(writer, level);
            io::copy(&mut tar, &mut encoder)?;
            encoder.finish()
        }
        Compression::Zstd(level) => {
            let mut encoder = zstd::Encoder::new(writer, i32::from(level))?;
            io::copy(&mut tar, &mut encoder)?;
            let mut writer = encoder.finish()?;
            writer.flush()?;
            Ok(writer)
        }
    }
}
