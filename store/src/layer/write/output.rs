//! What becomes of the tar while it is written: its digest, and a compressed blob if one is asked for.
//!
//! ```text
//! walk -> [block] -+-> SHA-256 of the tar
//!                  +-> compressors (any number) -> in order -> blob file and its SHA-256
//! ```
//!
//! Blocks are shared and reused, their number is bounded, so memory stays flat whatever the layer's size. Threads
//! start with the first full block: the layer of a small step never needs one.

use std::sync::Arc;

use super::codec::{BLOCK_SIZE, ZSTD_BLOCK_SIZE};
use super::packer::Packer;
use crate::layer::block::{BlockHasher, Pool, failed};
use crate::layer::{Compression, Result};
use crate::{Algorithm, BlobWriter, Digest};

/// Takes the tar's bytes.
pub(crate) struct Output {
    pool: Pool,
    block: Vec<u8>,
    filled: usize,
    size: u64,
    hasher: BlockHasher,
    packer: Option<Packer>,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Written {
    pub digest: Digest,
    pub size: u64,
    /// The blob's digest and size, when one was asked for. It is in the store now.
    pub blob: Option<(Digest, u64)>,
}

impl Output {
    pub(crate) fn new(blob: Option<(Compression, BlobWriter)>) -> Result<Self> {
        let size = match blob {
            Some((Compression::Zstd(_), _)) => ZSTD_BLOCK_SIZE,
            _ => BLOCK_SIZE,
        };
        let packer = match blob {
            Some((compression, writer)) => Some(Packer::new(compression, writer).map_err(failed)?),
            None => None,
        };
        let pool = Pool::new(size);
        let hasher = BlockHasher::new(Algorithm::Sha256);
        Ok(Self {
            block: pool.buffer(),
            pool,
            filled: 0,
            size: 0,
            hasher,
            packer,
        })
    }

    /// Room for the next bytes, never empty; say with [`Output::advance`] how much was used.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.block[self.filled..]
    }

    pub(crate) fn advance(&mut self, length: usize) -> Result<()> {
        self.filled += length;
        self.size += length as u64;
        if self.filled < self.block.len() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.block, self.pool.buffer());
        let block = self.pool.block(full, self.filled);
        self.filled = 0;
        if let Some(packer) = &mut self.packer {
            packer.push(Arc::clone(&block))?;
        }
        self.hasher.push(block)
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.room();
            let length = room.len().min(bytes.len());
            room[..length].copy_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
            self.advance(length)?;
        }
        Ok(())
    }

    /// Ends the stream; the blob is in the store when this returns.
    pub(crate) fn finish(self) -> Result<Written> {
        let last = self.pool.block(self.block, self.filled);
        let packer = match self.packer {
            Some(mut packer) => {
                packer.last(&last)?;
                Some(packer)
            }
            None => None,
        };
        let digest = self.hasher.finish(last)?;
        let blob = packer.map(Packer::finish).transpose()?;
        Ok(Written {
            digest,
            size: self.size,
            blob,
        })
    }
}
