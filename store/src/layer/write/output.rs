//! What becomes of the tar while it is written: its digest, and a compressed blob if one is asked for.
//!
//! ```text
//!     walk -> [block] -+-> SHA-256 of the tar
//!                      +-> compressors (any number) -> in order -> blob file and its SHA-256
//! ```
//!
//! Blocks are shared and reused, their number is bounded, so memory stays flat whatever the layer's size. Threads
//! start with the first full block: the layer of a small step never needs one.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::codec::{BLOCK_SIZE, ZSTD_BLOCK_SIZE};
use super::packer::Packer;
use crate::digest::Hasher;
use crate::layer::{Compression, LayerError, Result};
use crate::{BlobWriter, Digest};

/// Full blocks that may wait for the tar's hasher.
const WAITING: usize = 4;

/// A full or last block on its way through the hasher and the compressors. The last user gives its memory back.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    filled: usize,
    home: Sender<Vec<u8>>,
}

impl Block {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // The writer may have finished before us; then the memory is simply freed.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// Takes the tar's bytes.
pub(crate) struct Output {
    block: Vec<u8>,
    filled: usize,
    size: u64,
    hash: Hashing,
    packer: Option<Packer>,
    empty: Receiver<Vec<u8>>,
    home: Sender<Vec<u8>>,
}

enum Hashing {
    Here(Hasher),
    Thread {
        blocks: Sender<Arc<Block>>,
        thread: JoinHandle<Digest>,
    },
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
        let (home, empty) = unbounded();
        let packer = match blob {
            Some((compression, writer)) => Some(Packer::new(compression, writer).map_err(damaged)?),
            None => None,
        };
        Ok(Self {
            block: vec![0; size],
            filled: 0,
            size: 0,
            hash: Hashing::Here(Hasher::sha256()),
            packer,
            empty,
            home,
        })
    }

    /// Room for the next bytes, never empty; say with [`Output::advance`] how much was used.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.block[self.filled..]
    }

    pub(crate) fn advance(&mut self, length: usize) -> Result<()> {
        self.filled += length;
        self.size += length as u64;
        if self.filled == self.block.len() {
            self.flush()
        } else {
            Ok(())
        }
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

    pub(crate) fn zeros(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            let room = self.room();
            let part = room
                .len()
                .min(usize::try_from(length).unwrap_or(usize::MAX));
            room[..part].fill(0);
            self.advance(part)?;
            length -= part as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let next = self
            .empty
            .try_recv()
            .unwrap_or_else(|_| vec![0; self.block.len()]);
        let bytes = std::mem::replace(&mut self.block, next);
        let block = Arc::new(Block {
            bytes,
            filled: self.filled,
            home: self.home.clone(),
        });
        self.filled = 0;
        if let Some(packer) = &mut self.packer {
            packer.push(Arc::clone(&block))?;
        }
        if let Hashing::Here(hasher) = &mut self.hash {
            let hasher = std::mem::replace(hasher, Hasher::sha256());
            self.hash = hash_on_thread(hasher).map_err(damaged)?;
        }
        if let Hashing::Thread { blocks, .. } = &self.hash {
            blocks.send(block).map_err(|_| lost("hashing"))?;
        }
        Ok(())
    }

    /// Ends the stream; the blob is in the store when this returns.
    pub(crate) fn finish(mut self) -> Result<Written> {
        let rest = &self.block[..self.filled];
        let digest = match self.hash {
            Hashing::Here(mut hasher) => {
                hasher.update(rest);
                if let Some(packer) = &mut self.packer {
                    packer.last(rest)?;
                }
                hasher.finish()
            }
            Hashing::Thread { blocks, thread } => {
                let bytes = std::mem::take(&mut self.block);
                let block = Arc::new(Block {
                    bytes,
                    filled: self.filled,
                    home: self.home.clone(),
                });
                if let Some(packer) = &mut self.packer {
                    packer.push(Arc::clone(&block))?;
                }
                blocks.send(block).map_err(|_| lost("hashing"))?;
                drop(blocks);
                thread.join().map_err(|_| lost("hashing"))?
            }
        };
        let blob = self.packer.map(Packer::finish).transpose()?;
        Ok(Written {
            digest,
            size: self.size,
            blob,
        })
    }
}

fn hash_on_thread(mut hasher: Hasher) -> io::Result<Hashing> {
    let (blocks, incoming) = bounded::<Arc<Block>>(WAITING);
    let thread = thread::Builder::new()
        .name("layer-hash".to_owned())
        .spawn(move || {
            for block in incoming {
                hasher.update(block.bytes());
            }
            hasher.finish()
        })?;
    Ok(Hashing::Thread { blocks, thread })
}

/// A thread of ours ended before its work did, which only a panic or a lack of memory does.
pub(crate) fn lost(what: &'static str) -> LayerError {
    damaged(io::Error::other(format!("the {what} thread ended early")))
}

pub(crate) fn damaged(error: io::Error) -> LayerError {
    LayerError::entry("write", b"layer archive", error)
}
