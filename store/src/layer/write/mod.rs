//! Writing a layer: one pass over its entries makes the tar, its digest, the content digest and, if asked for, the
//! compressed blob.

pub(super) mod codec;
mod output;
mod packer;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use output::Output;

use super::entry::{Body, LayerEntry};
use super::{Compression, LayerError, Result, header};
use crate::tree::metadata::Metadata;
use crate::{BlobWriter, ContentDigest, Digest};

/// Writes entries to an archive in the order in which they come.
pub(crate) struct LayerWriter {
    output: Output,
    content: blake3::Hasher,
    header: Vec<u8>,
    entries: u64,
}

/// What a finished archive is.
#[derive(Debug)]
pub(crate) struct WrittenLayer {
    pub tar: Digest,
    pub tar_size: u64,
    pub content: ContentDigest,
    pub entries: u64,
    /// The blob's digest and size, if one was made.
    pub blob: Option<(Digest, u64)>,
}

impl LayerWriter {
    pub(crate) fn new(blob: Option<(Compression, BlobWriter)>) -> Result<Self> {
        Ok(Self {
            output: Output::new(blob)?,
            content: blake3::Hasher::new(),
            header: Vec::new(),
            entries: 0,
        })
    }

    /// Writes an entry without content, or the start of one whose content follows.
    pub(crate) fn entry(&mut self, entry: &LayerEntry<'_>) -> Result<()> {
        self.header.clear();
        header::encode(entry, &mut self.header);
        entry.hash(&mut self.content);
        self.entries += 1;
        self.output.write(&self.header)
    }

    /// Writes a regular file with its content.
    pub(crate) fn file(
        &mut self,
        entry: &LayerEntry<'_>,
        meta: &Metadata,
        file: &mut File,
    ) -> Result<()> {
        self.entry(entry)?;
        let Body::File(size) = entry.body else {
            return Err(LayerError::unfit(
                entry.path,
                "has content but is no regular file",
            ));
        };
        if meta.blocks * 512 < size {
            self.sparse(entry.path, size, file)?
        } else {
            self.bytes(entry.path, size, file)?
        }
        self.output.write(&header::END[..header::padding(size)])
    }

    /// Reads straight into the tar's block.
    fn bytes(&mut self, path: &[u8], mut left: u64, file: &mut File) -> Result<()> {
        while left > 0 {
            let room = self.output.room();
            let wanted = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let length = match file.read(&mut room[..wanted]) {
                Ok(0) => return Err(LayerError::unfit(path, "became shorter while it was read")),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(LayerError::io("read", path, error)),
            };
            self.content.update(&room[..length]);
            self.output.advance(length)?;
            left -= length as u64;
        }
        Ok(())
    }

    /// The same, but holes are not read.
    fn sparse(&mut self, path: &[u8], size: u64, file: &mut File) -> Result<()> {
        let mut at = 0;
        while at < size {
            let (data, hole) = next_data(file, at, size)
                .map_err(|error| LayerError::entry("read", path, error))?;
            self.holes(data - at)?;
            seek(file.as_fd(), SeekFrom::Start(data))
                .map_err(|error| LayerError::entry("read", path, error))?;
            self.bytes(path, hole - data, file)?;
            at = hole;
        }
        Ok(())
    }

    fn holes(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            let room = self.output.room();
            let part = room
                .len()
                .min(usize::try_from(length).unwrap_or(usize::MAX));
            room[..part].fill(0);
            self.content.update(&room[..part]);
            self.output.advance(part)?;
            length -= part as u64;
        }
        Ok(())
    }

    /// Ends the archive. The blob, if any, is in the store then.
    pub(crate) fn finish(mut self) -> Result<WrittenLayer> {
        self.output.write(&header::END)?;
        let written = self.output.finish()?;
        Ok(WrittenLayer {
            tar: written.digest,
            tar_size: written.size,
            content: ContentDigest::from(self.content.finalize()),
            entries: self.entries,
            blob: written.blob,
        })
    }
}

/// The next stretch of data at or after `at`, both ends within the file's size.
fn next_data(file: &File, at: u64, size: u64) -> rustix::io::Result<(u64, u64)> {
    let data = match seek(file.as_fd(), SeekFrom::Data(at)) {
        Ok(data) => data.min(size),
        // A hole up to the end.
        Err(Errno::NXIO) => return Ok((size, size)),
        // The file system can't tell: it is all data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((at, size)),
        Err(error) => return Err(error),
    };
    let hole = match seek(file.as_fd(), SeekFrom::Hole(data)) {
        Ok(hole) => hole.min(size),
        Err(Errno::NXIO) => size,
        Err(error) => return Err(error),
    };
    Ok((data, hole))
}
