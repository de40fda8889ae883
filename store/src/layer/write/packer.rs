//! Compressing blocks on several threads and putting the results into one blob, in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::codec::Codec;
use crate::layer::block::{Block, failed, lost};
use crate::layer::{Compression, Result};
use crate::{BlobWriter, Digest};

/// Threads beyond this gain little (hashing on one core is the limit by then) and cost memory.
const MAX_THREADS: usize = 16;

/// The result of one block, and its place.
type Packed = (u64, io::Result<Vec<u8>>);

/// Makes the blob.
pub(crate) struct Packer {
    compression: Compression,
    state: State,
}

enum State {
    /// No full block so far: everything is done by the caller's own thread.
    Here {
        codec: Codec,
        blob: Box<BlobWriter>,
    },
    Threads(Threads),
    /// Only while one state replaces the other.
    Empty,
}

struct Threads {
    next: u64,
    blocks: Sender<(u64, Arc<Block>)>,
    /// One for each block that may be on its way; comes back when the block is written.
    permits: Receiver<()>,
    writer: JoinHandle<Result<(Digest, u64)>>,
}

impl Packer {
    pub(crate) fn new(compression: Compression, blob: BlobWriter) -> io::Result<Self> {
        let codec = Codec::new(compression)?;
        Ok(Self {
            compression,
            state: State::Here {
                codec,
                blob: Box::new(blob),
            },
        })
    }

    /// Takes a block; waits while too many are on their way.
    pub(crate) fn push(&mut self, block: Arc<Block>) -> Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Empty) {
            State::Here { blob, .. } => {
                State::Threads(start(self.compression, *blob).map_err(failed)?)
            }
            other => other,
        };
        let State::Threads(threads) = &mut self.state else {
            return Err(lost("compression"));
        };
        let place = threads.next;
        threads.next += 1;
        if threads.permits.recv().is_ok() && threads.blocks.send((place, block)).is_ok() {
            return Ok(());
        }
        // The writer gave up (a full disk, say): its own error is the one to show.
        match std::mem::replace(&mut self.state, State::Empty) {
            State::Threads(threads) => Err(threads
                .finish()
                .err()
                .unwrap_or_else(|| lost("compression"))),
            _ => Err(lost("compression")),
        }
    }

    /// Takes the last block, which may be empty or the only one.
    pub(crate) fn last(&mut self, block: &Arc<Block>) -> Result<()> {
        match &mut self.state {
            _ if block.bytes().is_empty() => Ok(()),
            State::Here { codec, blob } => {
                let packed = codec.pack(block.bytes()).map_err(failed)?;
                blob.write_all(&packed).map_err(failed)
            }
            _ => self.push(Arc::clone(block)),
        }
    }

    pub(crate) fn finish(self) -> Result<(Digest, u64)> {
        match self.state {
            State::Here { blob, .. } => Ok(blob.finish(None)?),
            State::Threads(threads) => threads.finish(),
            State::Empty => Err(lost("compression")),
        }
    }
}

impl Threads {
    fn finish(self) -> Result<(Digest, u64)> {
        drop(self.blocks);
        self.writer.join().map_err(|_| lost("compression"))?
    }
}

fn start(compression: Compression, blob: BlobWriter) -> io::Result<Threads> {
    let count = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS);
    // Each thread has one block in hand and one waiting; two more keep the writer busy.
    let on_their_way = 2 * count + 2;
    let (blocks, incoming) = bounded::<(u64, Arc<Block>)>(on_their_way);
    let (results, packed) = unbounded::<Packed>();
    let (permit, permits) = bounded(on_their_way);
    for _ in 0..on_their_way {
        // There is room for exactly these.
        let _ = permit.send(());
    }
    for _ in 0..count {
        let mut codec = Codec::new(compression)?;
        let (incoming, results) = (incoming.clone(), results.clone());
        thread::Builder::new()
            .name("layer-pack".to_owned())
            .spawn(move || {
                for (place, block) in incoming {
                    let result = codec.pack(block.bytes());
                    drop(block);
                    if results.send((place, result)).is_err() {
                        break;
                    }
                }
            })?;
    }
    drop(results);
    let writer = thread::Builder::new()
        .name("layer-blob".to_owned())
        .spawn(move || write_in_order(&packed, &permit, blob))?;
    Ok(Threads {
        next: 0,
        blocks,
        permits,
        writer,
    })
}

fn write_in_order(
    packed: &Receiver<Packed>,
    permit: &Sender<()>,
    mut blob: BlobWriter,
) -> Result<(Digest, u64)> {
    let mut early = BTreeMap::new();
    let mut next = 0_u64;
    for (place, result) in packed {
        early.insert(place, result.map_err(failed)?);
        while let Some(bytes) = early.remove(&next) {
            blob.write_all(&bytes).map_err(failed)?;
            next += 1;
            // The other end is gone only when the layer was given up.
            let _ = permit.send(());
        }
    }
    if !early.is_empty() {
        return Err(lost("compression"));
    }
    Ok(blob.finish(None)?)
}
