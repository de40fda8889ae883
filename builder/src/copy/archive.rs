//! Which files are archives: a tar by its first header, plain or compressed by what its first bytes say. Names mean nothing.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};

/// The length of a tar header.
const HEADER: usize = 512;
/// Enough of a file to know its compression.
const MAGIC: usize = 6;
/// Larger than usual, because archives are read from start to end.
const BUFFER: usize = 128 << 10;

/// Reads a tar out of a file, if it is one; otherwise nothing.
pub(crate) fn open(file: File) -> io::Result<Option<Box<dyn Read>>> {
    let mut first = [0; HEADER];
    let probe = decompressed(file.try_clone()?).and_then(|mut reader| {
        reader.read_exact(&mut first)?;
        Ok(())
    });
    // What does not even decompress is a file like any other.
    if probe.is_err() || !is_header(&first) {
        return Ok(None);
    }
    decompressed(file).map(Some)
}

fn decompressed(mut file: File) -> io::Result<Box<dyn Read>> {
    let mut magic = [0; MAGIC];
    file.seek(SeekFrom::Start(0))?;
    let mut length = 0;
    while length < MAGIC {
        match file.read(&mut magic[length..])? {
            0 => break,
            more => length += more,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    let reader = BufReader::with_capacity(BUFFER, file);
    Ok(match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(lzma_rust2::XzReader::new(reader, true)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        _ => Box::new(reader),
    })
}

/// Tells whether a block is a tar header: its checksum is right.
fn is_header(block: &[u8; HEADER]) -> bool {
    if block.iter().all(|byte| *byte == 0) {
        return false;
    }
    let header = tar::Header::from_byte_slice(block);
    // The field of the checksum itself counts as blanks (POSIX pax, header block).
    let sum = block.iter().enumerate().map(|(at, byte)| {
        if (148..156).contains(&at) {
            32
        } else {
            u32::from(*byte)
        }
    });
    header
        .cksum()
        .is_ok_and(|expected| expected == sum.sum::<u32>())
}
