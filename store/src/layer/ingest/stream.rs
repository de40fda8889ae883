//! From the compressed bytes of a layer to its tar, hashed on the way.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;

use super::gzip::{self, Gzip};
use crate::layer::block::{Block, BlockHasher, Pool};
use crate::layer::{LayerError, Limits, Result};
use crate::{Algorithm, Digest};

/// What is inflated and handed on at once: fits the second-level cache, so the hasher and the unpacker find it there.
pub(super) const TAR_BLOCK: usize = 256 << 10;

const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Undoes whatever compression the first bytes show; media types are not always right.
pub(in crate::layer) enum Decoder<R: BufRead> {
    Plain(R),
    Gzip(Box<Gzip<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, R>>),
}

impl<R: BufRead> Decoder<R> {
    pub(in crate::layer) fn new(mut source: R) -> io::Result<Self> {
        let start = source.fill_buf()?;
        Ok(if start.starts_with(&gzip::MAGIC) {
            Self::Gzip(Box::new(Gzip::new(source)))
        } else if start.starts_with(ZSTD_MAGIC) {
            Self::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(source)?))
        } else {
            Self::Plain(source)
        })
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// Blocks that another thread sends, as a stream.
pub(super) struct Incoming {
    blocks: Receiver<Arc<Block>>,
    present: Option<Arc<Block>>,
    at: usize,
}

impl Incoming {
    pub(super) fn new(blocks: Receiver<Arc<Block>>) -> Self {
        Self {
            blocks,
            present: None,
            at: 0,
        }
    }
}

impl BufRead for Incoming {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self
            .present
            .as_ref()
            .is_none_or(|block| self.at == block.bytes().len())
        {
            self.present = None;
            self.at = 0;
            match self.blocks.recv() {
                Ok(block) => self.present = Some(block),
                // The sender is done; why, it says itself.
                Err(_) => return Ok(&[]),
            }
        }
        Ok(self
            .present
            .as_ref()
            .map_or(&[], |block| &block.bytes()[self.at..]))
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// How many compressed bytes came so far, for the ratio.
pub(super) type Received = Arc<AtomicU64>;

/// The tar, hashed while it is read.
pub(super) struct TarStream<R: BufRead> {
    decoder: Decoder<R>,
    pool: Pool,
    present: Option<Arc<Block>>,
    at: usize,
    size: u64,
    hasher: BlockHasher,
    limits: Limits,
    received: Received,
}

/// A limit that is passed; the archive's reader adds the entry.
fn over(what: &'static str, limit: u64) -> io::Error {
    io::Error::other(LayerError::Limit {
        entry: String::new(),
        what,
        limit,
    })
}

impl<R: BufRead> TarStream<R> {
    pub(super) fn new(
        source: R,
        algorithm: Algorithm,
        limits: Limits,
        received: Received,
    ) -> io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new(source)?,
            pool: Pool::new(TAR_BLOCK),
            present: None,
            at: 0,
            size: 0,
            hasher: BlockHasher::new(algorithm),
            limits,
            received,
        })
    }

    fn next_block(&mut self) -> io::Result<()> {
        if let Some(block) = self.present.take() {
            self.hasher.push(block).map_err(io::Error::other)?;
        }
        let mut buffer = self.pool.buffer();
        let mut filled = 0;
        while filled < buffer.len() {
            match self.decoder.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.size += filled as u64;
        if self.size > self.limits.bytes {
            return Err(over("the uncompressed size", self.limits.bytes));
        }
        let received = self.received.load(Ordering::Relaxed).max(1);
        if self.size > Limits::RATIO_FROM && self.size / received > self.limits.ratio {
            return Err(over("the compression ratio", self.limits.ratio));
        }
        self.at = 0;
        self.present = Some(self.pool.block(buffer, filled));
        Ok(())
    }

    /// The digest and size of the tar, which must have been read to its end.
    pub(super) fn finish(mut self) -> Result<(Digest, u64)> {
        let last = match self.present.take() {
            Some(block) => block,
            None => self.pool.block(Vec::new(), 0),
        };
        Ok((self.hasher.finish(last)?, self.size))
    }
}

impl<R: BufRead> BufRead for TarStream<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let is_used = self
            .present
            .as_ref()
            .is_none_or(|block| self.at == block.bytes().len());
        let is_end = self
            .present
            .as_ref()
            .is_some_and(|block| block.bytes().is_empty());
        if is_used && !is_end {
            self.next_block()?;
        }
        Ok(self
            .present
            .as_ref()
            .map_or(&[], |block| &block.bytes()[self.at..]))
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
    }
}

impl<R: BufRead> Read for TarStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
