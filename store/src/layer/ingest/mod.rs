//! Taking a layer in while it arrives: one pass keeps the compressed bytes, verifies both digests and unpacks.
//!
//! ```text
//! reader -> [block] -> blob file and its digest            (the caller's thread)
//!              +-----> inflate -> [block] -> unpack        (a thread)
//!                                   +------> digest of the tar  (a thread)
//! ```
//!
//! Small layers do it all on the caller's thread. Layers don't depend on each other, so callers take in several at once.
//! Whatever is wrong, nothing of the layer stays.

mod archive;
mod content;
mod excuse;
mod gzip;
mod names;
mod pax;
mod places;
mod remembered;
mod sparse;
mod stream;
mod unpack;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam_channel::{Sender, bounded};

pub(super) use stream::Decoder;
use stream::{Incoming, Received, TarStream};
use unpack::{Unpacked, Unpacker};

use super::block::{Block, Pool, failed};
use super::keep::Kept;
use super::{LayerError, LayerRecord, Limits, Origin, Result};
use crate::tree::NewTree;
use crate::{BlobWriter, ContentDigest, Descriptor, DiffId, Digest, Store};

/// What is read from the network or a file at once.
const READ_BLOCK: usize = 256 << 10;
/// Blocks between reading and inflating.
const WAITING: usize = 4;
/// Layers smaller than this are done before threads would have started.
const SMALL: u64 = 512 << 10;

/// What unpacking found out.
struct Finished {
    unpacked: Unpacked,
    tar: Digest,
    tar_size: u64,
}

impl Finished {
    fn check(&self, expected: &DiffId) -> Result<()> {
        if self.tar == *expected.digest() {
            return Ok(());
        }
        Err(LayerError::Mismatch {
            what: "the layer's uncompressed content",
            expected: expected.to_string(),
            actual: self.tar.to_string(),
        })
    }

    /// What is to be known of the layer.
    fn record(self, expected: &DiffId, blob: &Descriptor) -> LayerRecord {
        LayerRecord {
            diff_id: *expected,
            // What a pulled layer holds is told by its diff id alone.
            content: ContentDigest::of(format!("received {expected}").as_bytes()),
            tar_size: self.tar_size,
            entries: self.unpacked.entries,
            origin: Origin::Received,
            implied: self.unpacked.implied,
            hides_all: self.unpacked.hides_all,
            links: self.unpacked.links,
            left_out: self.unpacked.left_out,
            blobs: vec![blob.clone()],
        }
    }
}

impl Store {
    /// Takes in a layer: `reader` gives the bytes of `blob`, whose tar must have the digest `expected`. The blob is kept.
    ///
    /// Layers may come in any order and from several threads at once. When the layer is known already, only its blob is
    /// taken.
    pub fn ingest_layer(
        &self,
        reader: &mut dyn Read,
        blob: &Descriptor,
        expected: &DiffId,
        limits: &Limits,
    ) -> Result<LayerRecord> {
        self.ingest_download(self.blob_writer()?, reader, blob, expected, limits)
    }

    /// The same for a download that was taken up ([`Store::resume_blob`]): what it holds comes before what `reader` gives. When reading fails, what
    /// has come stays for the next one; when the content is wrong, it goes.
    pub fn ingest_download(
        &self,
        download: BlobWriter,
        reader: &mut dyn Read,
        blob: &Descriptor,
        expected: &DiffId,
        limits: &Limits,
    ) -> Result<LayerRecord> {
        let mut writer = download;
        let mut receiver = Receiver {
            reader,
            found: writer.size(),
            replayed: 0,
            resumable: writer.keep_unfinished(false),
            writer,
            announced: blob.size,
            received: Received::default(),
            error: None,
        };
        if let Some(known) = self.layer(expected)? {
            io::copy(&mut receiver, &mut io::sink()).map_err(|error| receiver.explain(error))?;
            receiver.writer.finish(Some(&blob.digest))?;
            return self.add_blobs(known, std::slice::from_ref(blob));
        }
        let tree = self.bare_tree()?;
        let finished = if blob.size < SMALL {
            let mut source = BufReader::with_capacity(READ_BLOCK, receiver.by_ref());
            let received = Arc::clone(&source.get_ref().received);
            let result = self.unpack(&mut source, &tree, expected, limits, &received);
            result.map_err(|error| receiver.error.take().unwrap_or(error))?
        } else {
            self.unpack_on_thread(&mut receiver, &tree, expected, limits)?
        };
        receiver.complete()?;
        finished.check(expected)?;
        receiver.writer.finish(Some(&blob.digest))?;
        let record = finished.record(expected, blob);
        match self.keep_layer(&tree, record)? {
            Kept::New(record) | Kept::Known(record) => Ok(record),
        }
    }

    /// Unpacks a stored blob of a layer once more, beside what is there, to compare them.
    pub(crate) fn unpack_again(
        &self,
        blob: &Descriptor,
        expected: &DiffId,
    ) -> Result<(NewTree, LayerRecord)> {
        let tree = self.bare_tree()?;
        let source = BufReader::with_capacity(READ_BLOCK, self.open_blob(&blob.digest)?);
        let received = Received::default();
        received.store(blob.size, Ordering::Relaxed);
        let finished = self.unpack(source, &tree, expected, &Limits::default(), &received)?;
        finished.check(expected)?;
        let record = finished.record(expected, blob);
        Ok((tree, record))
    }

    /// Unpacks an archive that was written on this machine: nothing is expected of its digest.
    pub(crate) fn unpack_written(&self, archive: &mut dyn Read, tree: &NewTree) -> Result<()> {
        let source = BufReader::with_capacity(READ_BLOCK, archive);
        let any = DiffId(Digest::sha256(b""));
        let received = Received::default();
        // It is as long as what it was made from: no bomb.
        received.store(u64::MAX, Ordering::Relaxed);
        self.unpack(source, tree, &any, &Limits::default(), &received)
            .map(drop)
    }

    fn unpack<R: BufRead>(
        &self,
        source: R,
        tree: &NewTree,
        expected: &DiffId,
        limits: &Limits,
        received: &Received,
    ) -> Result<Finished> {
        let algorithm = expected.digest().algorithm();
        let start = |error: io::Error| LayerError::Damaged {
            entry: "start".to_owned(),
            reason: error.to_string(),
        };
        let stream =
            TarStream::new(source, algorithm, *limits, Arc::clone(received)).map_err(start)?;
        let root = tree.open()?;
        let owners = self.owners(&root)?;
        let unpacker = Unpacker::new(root, self.options().overlay_xattrs, owners, *limits);
        let (unpacked, stream) = unpacker.run(stream)?;
        let (tar, tar_size) = stream.finish()?;
        Ok(Finished {
            unpacked,
            tar,
            tar_size,
        })
    }

    fn unpack_on_thread(
        &self,
        receiver: &mut Receiver<'_>,
        tree: &NewTree,
        expected: &DiffId,
        limits: &Limits,
    ) -> Result<Finished> {
        let (blocks, incoming) = bounded::<Arc<Block>>(WAITING);
        let received = Arc::clone(&receiver.received);
        thread::scope(|scope| {
            let unpacking = thread::Builder::new()
                .name("layer-unpack".to_owned())
                .spawn_scoped(scope, move || {
                    self.unpack(Incoming::new(incoming), tree, expected, limits, &received)
                })
                .map_err(failed)?;
            let sent = receiver.send_all(&blocks);
            drop(blocks);
            let unpacked = unpacking
                .join()
                .map_err(|_| super::block::lost("unpacking"))?;
            // Without its input the unpacker can only fail, so the input's own error comes first.
            sent.and(unpacked)
        })
    }
}

/// Reads the compressed bytes and writes them to the blob on the way.
struct Receiver<'a> {
    reader: &'a mut dyn Read,
    writer: BlobWriter,
    /// Bytes that the writer had when this began, and how many of them have been read again.
    found: u64,
    replayed: u64,
    /// Whether what has come stays when the reader breaks.
    resumable: bool,
    announced: u64,
    received: Received,
    /// Why reading failed, when it was called through `Read`, which can't tell.
    error: Option<LayerError>,
}

impl Receiver<'_> {
    /// Hands everything to the unpacker, until that gives up.
    fn send_all(&mut self, blocks: &Sender<Arc<Block>>) -> Result<()> {
        let pool = Pool::new(READ_BLOCK);
        loop {
            let mut buffer = pool.buffer();
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    if blocks.send(pool.block(buffer, length)).is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    /// Reads what was there already.
    fn replay(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.found - self.replayed).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let length = self.writer.read_at(&mut buffer[..wanted], self.replayed)?;
        if length == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.replayed += length as u64;
        self.received.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }

    fn explain(&mut self, error: io::Error) -> LayerError {
        self.error.take().unwrap_or_else(|| failed(error))
    }

    /// Fails unless as much came as was announced.
    fn complete(&mut self) -> Result<()> {
        // Inflating may stop at the end of the compressed stream without asking for more.
        let mut rest = [0; 512];
        loop {
            match self.read(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(self.explain(error)),
            }
        }
        let received = self.received.load(Ordering::Relaxed);
        if received == self.announced {
            return Ok(());
        }
        Err(LayerError::Mismatch {
            what: "the layer's length",
            expected: format!("{} bytes", self.announced),
            actual: format!("{received} bytes"),
        })
    }
}

impl Read for Receiver<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.replayed < self.found {
            return self.replay(buffer);
        }
        let length = loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(length) => break length,
                Err(error) => {
                    self.writer.keep_unfinished(self.resumable);
                    self.error = Some(LayerError::entry(
                        "receive",
                        b"layer",
                        io::Error::new(error.kind(), error.to_string()),
                    ));
                    return Err(error);
                }
            }
        };
        if let Err(error) = self.writer.write_all(&buffer[..length]) {
            self.error = Some(LayerError::entry(
                "store",
                b"layer blob",
                io::Error::new(error.kind(), error.to_string()),
            ));
            return Err(error);
        }
        let received = self.received.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
        if received > self.announced {
            self.error = Some(LayerError::Mismatch {
                what: "the layer's length",
                expected: format!("{} bytes", self.announced),
                actual: "more".to_owned(),
            });
            return Err(io::Error::other("more bytes than announced"));
        }
        Ok(length)
    }
}
