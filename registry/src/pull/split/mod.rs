//! A large layer in several parts at once, for networks where one connection does not fill the line.
//!
//! ```text
//! in turn   one connection --------------------------------------------\
//! ahead     connections -> partial/<digest>.<start>-<end> (on disk) ----> pipe -> digest, inflate, unpack
//! ```
//!
//! The layer is still hashed and unpacked in one pass, and no more of it is held in memory than otherwise: what comes before its turn waits on the
//! disk, where a later pull finds it. A layer begins with one request, for its first part. Parts are fetched ahead only after the server has
//! answered that one with just what was asked for, only while the reader waits for the network, only on connections that nothing else
//! wants, and only as many as bring more. A reader that is slower than the network gets one stream, in parts that become longer.
//!
//! Concurrency: one task; the part whose turn it is and those ahead are its branches and share what they received.

mod ahead;
mod head;
mod width;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kiln_store::{Descriptor, Store};
use tokio::sync::mpsc;

use crate::content::{ByteStream, Part, Repository, Splitting, Turn};
use crate::error::Result;
use crate::event::Events;
use crate::source::blocking;

use super::stream::Pipe;
use ahead::Ahead;
use head::Head;

/// How many parts a layer has at least, before they become longer than the least length.
const PARTS: u64 = 64;

/// How many times the least length a part may have: what comes ahead takes room on the disk.
const LONGEST: u64 = 4;

/// Bytes received by all connections.
#[derive(Debug, Default)]
pub(super) struct Received(AtomicU64);

impl Received {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A layer that is fetched in parts.
#[derive(Debug)]
pub(super) struct Split {
    store: Store,
    splitting: Splitting,
    /// Where the transfer begins.
    from: u64,
    /// The first part, if it has been asked for, and its end.
    first: Option<(Part, u64)>,
    /// What an earlier pull left of parts that had not come to their turn.
    left: Vec<Arc<Ahead>>,
}

/// How a layer begins.
pub(super) enum Begin {
    Parts(Split),
    /// The place gives layers whole.
    Stream(ByteStream),
}

impl Split {
    /// Looks for what an earlier pull has left beyond `from`, and asks for the first part that is missing.
    pub(super) async fn begin(
        repository: &dyn Repository,
        store: &Store,
        blob: &Descriptor,
        from: u64,
        splitting: Splitting,
    ) -> Result<Begin> {
        let mut split = Self {
            store: store.clone(),
            splitting,
            from,
            first: None,
            left: left(store, blob, from).await?,
        };
        if split.left.iter().any(|part| part.covers(from)) {
            return Ok(Begin::Parts(split));
        }
        let next = split.left.iter().map(|part| part.range().start).min();
        let end = next
            .unwrap_or(from + part_length(&splitting, blob))
            .min(blob.size);
        match repository.blob_part(blob, from..end, Turn::Next).await {
            // It may answer next time.
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
            Ok(Part::Rest(stream)) if end < blob.size => {
                for part in &split.left {
                    part.remove().await?;
                }
                return Ok(Begin::Stream(stream));
            }
            Ok(part) => split.first = Some((part, end)),
        }
        Ok(Begin::Parts(split))
    }

    /// Puts the layer into a pipe.
    pub(super) async fn pump(
        self,
        repository: &dyn Repository,
        blob: &Descriptor,
        pipe: Pipe,
        events: Events<'_>,
    ) -> Result<()> {
        let received = Received::default();
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let head = Head::new(self, repository, blob, &received, orders, events);
        let mut head = std::pin::pin!(head.run(pipe));
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                ended = &mut head => return ended,
                Some(part) = ordered.recv() => {
                    let part: Arc<Ahead> = part;
                    running.push(part.fetch(repository, blob, &received, events));
                }
                Some(()) = running.next() => {}
            }
        }
    }
}

/// The length of a layer's parts.
fn part_length(splitting: &Splitting, blob: &Descriptor) -> u64 {
    let least = splitting.part.max(1);
    (blob.size / PARTS).clamp(least, least * LONGEST)
}

/// What an earlier pull left of parts that had not come to their turn; what is of no use is removed.
async fn left(store: &Store, blob: &Descriptor, from: u64) -> Result<Vec<Arc<Ahead>>> {
    let (store, blob) = (store.clone(), blob.clone());
    blocking("taking up a download", move || {
        let mut parts = Vec::new();
        for part in store.download_parts(&blob.digest)? {
            let there = part.range().start + part.found();
            if there <= from || part.found() == 0 || part.range().end > blob.size {
                part.remove()?;
            } else {
                parts.push(Ahead::new(part, true));
            }
        }
        Ok(parts)
    })
    .await
}
