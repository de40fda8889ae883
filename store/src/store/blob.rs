//! Content by digest: written to `tmp/`, verified, renamed into `blobs/`.

mod part;
mod partial;

pub use part::DownloadPart;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::store::layout::ensure_directory;
use crate::store::lease::Held;
use crate::{Digest, Error, Hasher, Result, Store};

/// How much is read at once when content is hashed again: large enough to hide the calls, small enough for any cache.
const BUFFER: usize = 256 << 10;

impl Store {
    /// Stores these bytes.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        {
            let inside = self.enter()?;
            self.hold(&inside, &[Held::Blob(digest)])?;
            if self.blob_size(&digest)? == Some(bytes.len() as u64) {
                return Ok(digest);
            }
        }
        let mut writer = self.blob_writer()?;
        writer
            .write_all(bytes)
            .map_err(Error::io("write", &writer.path))?;
        writer.finish(Some(&digest))?;
        Ok(digest)
    }

    /// Starts content whose digest is known at its end. Dropping the writer forgets it.
    pub fn blob_writer(&self) -> Result<BlobWriter> {
        let path = self.temporary_file_path()?;
        let file = OpenOptions::new()
            .write(true)
            .read(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        Ok(BlobWriter {
            store: self.clone(),
            path,
            file,
            hasher: Hasher::sha256(),
            size: 0,
            keep: false,
            done: false,
        })
    }

    /// Opens content for reading. It stays readable while the file is open, whatever the collector does.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let inside = self.enter()?;
        self.hold(&inside, &[Held::Blob(*digest)])?;
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::BlobNotFound { digest: *digest })
            }
            opened => opened.map_err(Error::io("open", &path)),
        }
    }

    /// Reads content whole and verifies it. Damaged content is removed, so that it is fetched or made again.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let mut file = self.open_blob(digest)?;
        let size = file.metadata().map_err(Error::io("examine", &path))?.len();
        if size > limit {
            return Err(Error::BlobTooLarge {
                digest: *digest,
                size,
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.read_to_end(&mut bytes)
            .map_err(Error::io("read", &path))?;
        let found = Digest::of(digest.algorithm(), &bytes);
        if found != *digest {
            // Where it cannot be removed, on a read-only store, it is refused each time.
            let _ = self.discard_blob(digest);
            return Err(Error::BlobCorrupt {
                digest: *digest,
                found: found.to_string(),
            });
        }
        Ok(bytes)
    }

    /// The size of content, when it is here. It then stays until the store is closed, whatever is pruned beside.
    pub fn hold_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let inside = self.enter()?;
        self.hold(&inside, &[Held::Blob(*digest)])?;
        self.blob_size(digest)
    }

    /// The size of content, when it is here. Who goes on to rely on it uses [`Store::hold_blob`].
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("examine", &path)(error)),
        }
    }

    /// Removes content that is not what its name says.
    pub(crate) fn discard_blob(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.map_err(Error::io("remove damaged", &path)),
        }
    }
}

/// Content in the making.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    size: u64,
    /// Whether an unfinished file stays, for the next one who fetches the same.
    keep: bool,
    done: bool,
}

impl BlobWriter {
    /// How many bytes are there: written, and found when a download was taken up.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether an unfinished download stays for the next one when the writer is dropped; gives what held before.
    pub(crate) fn keep_unfinished(&mut self, keep: bool) -> bool {
        std::mem::replace(&mut self.keep, keep)
    }

    /// Reads what was written.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    /// Throws away what is there: it cannot be the beginning of what is wanted.
    pub fn forget(mut self) {
        self.keep = false;
    }

    /// Puts the content in its place, after checking it against the digest that was announced.
    pub fn finish(mut self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let mut digest = self.hasher.clone().finish();
        if let Some(expected) = expected {
            if expected.algorithm() != digest.algorithm() {
                digest = self.hash_again(expected)?;
            }
            if digest != *expected {
                partial::forget(&self);
                return Err(Error::DigestMismatch {
                    expected: *expected,
                    found: digest.to_string(),
                });
            }
        }
        let target = self.store.blob_path(&digest);
        let inside = self.store.enter()?;
        self.store.hold(&inside, &[Held::Blob(digest)])?;
        if let Some(parent) = target.parent() {
            ensure_directory(parent)?;
        }
        fs::rename(&self.path, &target).map_err(Error::io("create", &target))?;
        drop(inside);
        self.done = true;
        Ok((digest, self.size))
    }

    /// Hashes the file with the announced algorithm, which is seldom another than SHA-256.
    fn hash_again(&self, expected: &Digest) -> Result<Digest> {
        let file = File::open(&self.path).map_err(Error::io("open", &self.path))?;
        hash_file(file, Hasher::new(expected.algorithm())).map_err(Error::io("read", &self.path))
    }
}

/// Hashes the rest of a file; gives its length.
pub(crate) fn hash_into(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                size += length as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The digest of the rest of a file.
pub(crate) fn hash_file(mut file: File, mut hasher: Hasher) -> io::Result<Digest> {
    hash_into(&mut file, &mut hasher)?;
    Ok(hasher.finish())
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        let kept = self.keep && self.size > 0;
        if !self.done && !kept {
            // What cannot be deleted now is swept later.
            let _ = fs::remove_file(&self.path);
        }
    }
}
