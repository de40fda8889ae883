//! Pieces of a stream that several threads look at, and hashing them on one of these threads.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{LayerError, Result};
use crate::{Algorithm, Digest, Hasher};

/// Full blocks that may wait for the hasher.
const WAITING: usize = 4;

/// A filled buffer. The last user gives its memory back to the pool.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    filled: usize,
    home: Sender<Vec<u8>>,
}

impl Block {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // The pool may be gone before us; then the memory is simply freed.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// Buffers of one size, used again and again. It has no bound of its own: whoever takes blocks bounds what is on its way.
#[derive(Debug)]
pub(super) struct Pool {
    size: usize,
    empty: Receiver<Vec<u8>>,
    home: Sender<Vec<u8>>,
}

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        let (home, empty) = unbounded();
        Self { size, empty, home }
    }

    /// A buffer of full size with any content.
    pub(super) fn buffer(&self) -> Vec<u8> {
        if let Ok(bytes) = self.empty.try_recv() {
            return bytes;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = spare.take_if(|bytes| bytes.len() == self.size);
        spare.unwrap_or_else(|| vec![0; self.size])
    }

    /// Makes a block of a buffer's first bytes.
    pub(super) fn block(&self, bytes: Vec<u8>, filled: usize) -> Arc<Block> {
        Arc::new(Block {
            bytes,
            filled,
            home: self.home.clone(),
        })
    }
}

/// A buffer of the last pool, for the next: filling a new one with zeros takes longer than a small layer.
static SPARE: Mutex<Option<Vec<u8>>> = Mutex::new(None);

impl Drop for Pool {
    fn drop(&mut self) {
        if let Ok(bytes) = self.empty.try_recv() {
            *SPARE.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
        }
    }
}

/// Hashes a stream of blocks: on a thread of its own as soon as there are several.
pub(super) struct BlockHasher {
    state: State,
    algorithm: Algorithm,
}

enum State {
    Here(Box<Hasher>),
    Thread {
        blocks: Sender<Arc<Block>>,
        thread: JoinHandle<Digest>,
    },
}

impl BlockHasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self {
            state: State::Here(Box::new(Hasher::new(algorithm))),
            algorithm,
        }
    }

    /// Hashes a block that others follow.
    pub(super) fn push(&mut self, block: Arc<Block>) -> Result<()> {
        if let State::Here(hasher) = &mut self.state {
            let hasher = std::mem::replace(hasher, Box::new(Hasher::new(self.algorithm)));
            self.state = start(*hasher).map_err(failed)?;
        }
        match &self.state {
            State::Thread { blocks, .. } => blocks.send(block).map_err(|_| lost("hashing")),
            State::Here(_) => Err(lost("hashing")),
        }
    }

    /// Hashes the last bytes.
    pub(super) fn finish(self, last: Arc<Block>) -> Result<Digest> {
        match self.state {
            State::Here(mut hasher) => {
                hasher.update(last.bytes());
                Ok(hasher.finish())
            }
            State::Thread { blocks, thread } => {
                blocks.send(last).map_err(|_| lost("hashing"))?;
                drop(blocks);
                thread.join().map_err(|_| lost("hashing"))
            }
        }
    }
}

fn start(mut hasher: Hasher) -> io::Result<State> {
    let (blocks, incoming) = bounded::<Arc<Block>>(WAITING);
    let thread = thread::Builder::new()
        .name("layer-hash".to_owned())
        .spawn(move || {
            for block in incoming {
                hasher.update(block.bytes());
            }
            hasher.finish()
        })?;
    Ok(State::Thread { blocks, thread })
}

/// A thread of ours ended before its work did, which only a panic or a lack of memory does.
pub(super) fn lost(what: &'static str) -> LayerError {
    failed(io::Error::other(format!("the {what} thread ended early")))
}

/// The machine failed us while a layer was read or written.
pub(super) fn failed(error: io::Error) -> LayerError {
    LayerError::entry("process", b"layer archive", error)
}
