//! Making a layer from the directory that a step wrote.

mod differ;
mod unshare;

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use differ::{Differ, Source};

use super::keep::Kept;
use super::record::StoredPath;
use super::write::{LayerWriter, WrittenLayer};
use super::{CommitOptions, Compression, LayerError, LayerRecord, Limits, Origin, Result, repack};
use crate::store::blob::hash_file;
use crate::tree::NewTree;
use crate::{BlobWriter, Descriptor, DiffId, Digest, Hasher, Stack, Store};

/// How much of a received archive is read at once.
const READ_BLOCK: usize = 256 << 10;

impl Store {
    /// Makes a layer of a tree: its difference from the stack below, as a tar with its digests in one pass, and the tree as
    /// the layer's directory. The overlay mount must be gone and nobody may change the tree any more.
    ///
    /// The same tree above the same stack gives the same bytes everywhere.
    pub fn commit_tree(
        &self,
        tree: NewTree,
        below: &Stack,
        options: &CommitOptions,
    ) -> Result<LayerRecord> {
        self.commit_files(&tree, below, options)
    }

    /// As [`Store::commit_tree`], but leaves it to the caller when what is left of the tree is deleted.
    pub fn commit_files(
        &self,
        tree: &NewTree,
        below: &Stack,
        options: &CommitOptions,
    ) -> Result<LayerRecord> {
        let view = below.view();
        let blob = match options.compression {
            Some(compression) => Some((compression, self.blob_writer()?)),
            None => None,
        };
        let family = self.options().overlay_xattrs;
        let upper = tree.open()?;
        let mut differ = Differ::new(
            Source::Below(&view),
            family,
            self.owners(&upper)?,
            options.clamp_mtime,
            LayerWriter::new(blob)?,
        );
        differ.run(&upper)?;
        let implied = std::mem::take(&mut differ.implied);
        let written = differ.writer.finish()?;
        let blobs = match (options.compression, written.blob) {
            (Some(compression), Some((digest, size))) => {
                vec![Descriptor::new(compression.media_type(), digest, size)]
            }
            _ => Vec::new(),
        };
        let record = LayerRecord {
            diff_id: DiffId(written.tar),
            content: written.content,
            tar_size: written.tar_size,
            entries: written.entries,
            origin: Origin::Written,
            implied: implied.into_iter().map(StoredPath).collect(),
            hides_all: false,
            links: Vec::new(),
            left_out: Vec::new(),
            blobs,
        };
        match self.keep_layer(tree, record)? {
            Kept::New(record) => {
                self.extend_chain(below, &record.diff_id);
                Ok(record)
            }
            Kept::Known(record) => {
                self.extend_chain_with_known(below, &record);
                Ok(record)
            }
        }
    }

    /// Makes a layer of an archive that was written here, of what changed above the stack below: the way for trees that somebody
    /// else still uses.
    pub fn commit_archive(
        &self,
        archive: &mut dyn Read,
        below: &Stack,
        options: &CommitOptions,
    ) -> Result<LayerRecord> {
        let tree = self.new_tree(below)?;
        self.unpack_written(archive, &tree)?;
        self.commit_tree(tree, below, options)
    }

    /// The blob of a layer in the given compression: the one that is here, or one made now from the layer's files.
    ///
    /// For a pulled layer any compressed blob that is here will do, as its registry's bytes are the ones to keep; what came
    /// uncompressed is compressed.
    pub fn layer_blob(&self, diff_id: &DiffId, compression: Compression) -> Result<Descriptor> {
        let Some(record) = self.layer(diff_id)? else {
            return Err(LayerError::Missing(diff_id.to_string()));
        };
        for blob in &record.blobs {
            if blob.media_type == compression.media_type()
                && self.blob_size(&blob.digest)? == Some(blob.size)
            {
                return Ok(blob.clone());
            }
        }
        if record.origin == Origin::Received {
            for blob in &record.blobs {
                if self.blob_size(&blob.digest)? != Some(blob.size) {
                    continue;
                }
                let is_tar = blob.digest == *record.diff_id.digest();
                if is_tar && compression != Compression::None {
                    return self.pack_received(&record, compression);
                }
                return Ok(blob.clone());
            }
        }
        if record.origin == Origin::Received {
            return Err(LayerError::BlobGone(diff_id.to_string()));
        }
        let (digest, size) = self.rewrite(&record, compression)?;
        let blob = Descriptor::new(compression.media_type(), digest, size);
        if compression != Compression::None {
            self.add_blobs(record, std::slice::from_ref(&blob))?;
        }
        Ok(blob)
    }

    /// Compresses the archive that a layer was received as: its files alone may not give the same bytes.
    fn pack_received(&self, record: &LayerRecord, compression: Compression) -> Result<Descriptor> {
        let digest = *record.diff_id.digest();
        // Damage that is compressed would be found by whoever pulls it.
        let found = hash_file(self.open_blob(&digest)?, Hasher::new(digest.algorithm()));
        let found = found.map_err(crate::Error::io("read", &self.blob_path(&digest)))?;
        if found != digest {
            self.discard_blob(&digest)?;
            let found = found.to_string();
            return Err(crate::Error::BlobCorrupt { digest, found }.into());
        }
        let mut writer = self.blob_writer()?;
        let source = BufReader::with_capacity(READ_BLOCK, self.open_blob(&digest)?);
        repack(source, &mut writer, compression, &Limits::default())?;
        let (digest, size) = writer.finish(None)?;
        let blob = Descriptor::new(compression.media_type(), digest, size);
        self.add_blobs(record.clone(), std::slice::from_ref(&blob))?;
        Ok(blob)
    }

    /// Writes the archive of a layer again from its files, as a blob.
    fn rewrite(&self, record: &LayerRecord, compression: Compression) -> Result<(Digest, u64)> {
        let files = self.layer_files(&record.diff_id);
        let written = self.archive(&files, record, Some((compression, self.blob_writer()?)))?;
        if written.tar != *record.diff_id.digest() {
            return Err(LayerError::Mismatch {
                what: "the layer's directory in the store",
                expected: record.diff_id.to_string(),
                actual: written.tar.to_string(),
            });
        }
        written
            .blob
            .ok_or_else(|| LayerError::BlobGone(record.diff_id.to_string()))
    }

    /// Writes the archive of a layer again from files, its own or a copy, for its digests or as a blob.
    pub(crate) fn archive(
        &self,
        files: &Path,
        record: &LayerRecord,
        blob: Option<(Compression, BlobWriter)>,
    ) -> Result<WrittenLayer> {
        let held = File::open(files)
            .map(OwnedFd::from)
            .map_err(|error| LayerError::host("open", files, error))?;
        let implied = record
            .implied
            .iter()
            .map(|path| path.0.as_slice())
            .collect();
        let mut differ = Differ::new(
            Source::Implied(implied),
            self.options().overlay_xattrs,
            self.owners(&held)?,
            None,
            LayerWriter::new(blob)?,
        );
        differ.run(&held)?;
        differ.writer.finish()
    }
}
