//! A layer's blob in another compression, without unpacking it.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::thread;

use super::block::failed;
use super::ingest::Decoder;
use super::write::codec::{BLOCK_SIZE, Codec, ZSTD_BLOCK_SIZE};
use super::{Compression, LayerError, Limits, Result};
use crate::{Digest, Hasher};

/// Blocks that one thread compresses between two writes: enough that the threads seldom wait for each other.
const BLOCKS_A_THREAD: usize = 2;

/// Reads a layer in whatever compression it has and writes it in this one; gives the digest and the size of the result, which has the
/// same bytes as a layer that is compressed when it is made. An archive that grows beyond the limits is refused.
pub fn repack(
    source: impl BufRead,
    target: &mut dyn Write,
    compression: Compression,
    limits: &Limits,
) -> Result<(Digest, u64)> {
    let mut source = Decoder::new(source).map_err(damaged)?;
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let size = match compression {
        Compression::Zstd(_) => ZSTD_BLOCK_SIZE,
        _ => BLOCK_SIZE,
    };
    let mut codecs = (0..threads)
        .map(|_| Codec::new(compression))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(failed)?;
    let mut blocks = vec![vec![0; size]; threads * BLOCKS_A_THREAD];
    let (mut hasher, mut written, mut read) = (Hasher::sha256(), 0, 0_u64);
    loop {
        let mut filled = 0;
        let mut ended = false;
        for block in &mut blocks {
            block.resize(size, 0);
            let length = fill(&mut source, block)?;
            read += length as u64;
            block.truncate(length);
            ended = length < size;
            // The first block is packed even when it is empty, as it is when a layer is made.
            filled += usize::from(length > 0 || (read == 0 && written == 0));
            if ended {
                break;
            }
        }
        if read > limits.bytes {
            return Err(LayerError::refused(
                b"archive",
                format!("it holds more than the {} bytes allowed", limits.bytes),
            ));
        }
        for packed in pack(&mut codecs, &blocks[..filled])? {
            target.write_all(&packed).map_err(failed)?;
            hasher.update(&packed);
            written += packed.len() as u64;
        }
        if ended {
            return Ok((hasher.finish(), written));
        }
    }
}

/// Writes what a stream holds, out of whatever compression it has; gives the number of bytes. One that grows beyond the limits is refused.
pub fn inflate(source: impl Read, target: &mut dyn Write, limits: &Limits) -> Result<u64> {
    let count = Cell::new(0);
    let counted = Counted {
        inner: source,
        count: &count,
    };
    let mut decoder =
        Decoder::new(BufReader::with_capacity(BLOCK_SIZE, counted)).map_err(damaged)?;
    let mut block = vec![0; BLOCK_SIZE];
    let mut written = 0;
    loop {
        let length = fill(&mut decoder, &mut block)?;
        target.write_all(&block[..length]).map_err(failed)?;
        written += length as u64;
        let ratio = written / count.get().max(1);
        if written > limits.bytes || (written > Limits::RATIO_FROM && ratio > limits.ratio) {
            return Err(LayerError::refused(
                b"archive",
                format!(
                    "more than {written} bytes come out of {} compressed ones",
                    count.get()
                ),
            ));
        }
        if length < block.len() {
            return Ok(written);
        }
    }
}

/// Counts what is read.
struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }
}

/// Compresses blocks on all threads; the results in order.
fn pack(codecs: &mut [Codec], blocks: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let share = blocks.len().div_ceil(codecs.len()).max(1);
    let packed = thread::scope(|scope| {
        let parts: Vec<_> = codecs
            .iter_mut()
            .zip(blocks.chunks(share))
            .map(|(codec, blocks)| {
                scope.spawn(move || {
                    let packed = blocks.iter().map(|block| codec.pack(block));
                    packed.collect::<std::io::Result<Vec<_>>>()
                })
            })
            .collect();
        parts
            .into_iter()
            .map(|part| match part.join() {
                Ok(packed) => packed,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect::<std::io::Result<Vec<_>>>()
    });
    Ok(packed.map_err(failed)?.into_iter().flatten().collect())
}

/// Reads until the block is full or the source ends.
fn fill(source: &mut impl Read, block: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(error)),
        }
    }
    Ok(filled)
}

fn damaged(error: std::io::Error) -> LayerError {
    LayerError::Damaged {
        entry: "archive".to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repacked_layers_read_back_and_do_not_depend_on_their_source() {
        let text = b"some text that repeats, ".repeat(200_000);
        let mut plain = Vec::new();
        let mut golden = None;
        for start in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            let mut packed = Vec::new();
            repack(&text[..], &mut packed, start, &Limits::default()).unwrap();
            let mut again = Vec::new();
            let made = repack(
                &packed[..],
                &mut again,
                Compression::GZIP,
                &Limits::default(),
            );
            let (digest, size) = made.unwrap();
            assert_eq!(size, again.len() as u64);
            assert_eq!(digest, Digest::sha256(&again));
            assert_eq!(*golden.get_or_insert(digest), digest);
            plain.clear();
            inflate(&again[..], &mut plain, &Limits::default()).unwrap();
            assert_eq!(plain, text);
        }
    }

    #[test]
    fn limits_and_damage_are_noticed() {
        let limits = Limits {
            bytes: 1 << 20,
            ..Limits::default()
        };
        let zeros = vec![0; 4 << 20];
        let mut packed = Vec::new();
        repack(
            &zeros[..],
            &mut packed,
            Compression::GZIP,
            &Limits::default(),
        )
        .unwrap();
        assert!(inflate(&packed[..], &mut std::io::sink(), &limits).is_err());
        assert!(
            repack(
                &packed[..],
                &mut std::io::sink(),
                Compression::ZSTD,
                &limits
            )
            .is_err()
        );
        // Cut inside of a member: between two, only the digest tells.
        let half = &packed[..packed.len() - 3];
        assert!(inflate(half, &mut std::io::sink(), &Limits::default()).is_err());
    }
}
