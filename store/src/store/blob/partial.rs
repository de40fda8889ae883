//! Downloads under way, in `partial/`: what a stopped one has fetched is there for the next.
//!
//! The file of a download is locked by whoever writes it. It is a promise of nothing: its bytes are hashed again when it is
//! taken up, and one that turns out to be wrong is thrown away.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{BlobWriter, hash_into};
use crate::store::layout::{digest_name, entries};
use crate::store::lock::try_exclusive;
use crate::store::tag::remove_if_there;
use crate::store::temporary::is_same;
use crate::{Digest, Error, Hasher, Result, Store};

/// A download that nobody took up for this long is forgotten by the next prune.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    /// Takes up a download where it stopped, or starts it: [`BlobWriter::size`] says how much is there already. `None` when
    /// another process is fetching the same content. A writer that is dropped leaves what it has for the next.
    pub fn resume_blob(&self, digest: &Digest) -> Result<Option<BlobWriter>> {
        let path = self.root().join("partial").join(digest_name(digest));
        loop {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600);
            let mut file = options.open(&path).map_err(Error::io("open", &path))?;
            if !try_exclusive(&file).map_err(Error::io("lock", &path))? {
                return Ok(None);
            }
            // Whoever had the lock before may just have finished: then this is no download any more but content.
            if !is_same(&file, &path)? {
                continue;
            }
            let mut hasher = Hasher::new(digest.algorithm());
            let size = hash_into(&mut file, &mut hasher).map_err(Error::io("read", &path))?;
            file.seek(SeekFrom::Start(size))
                .map_err(Error::io("read", &path))?;
            return Ok(Some(BlobWriter {
                store: self.clone(),
                path,
                file,
                hasher,
                size,
                keep: true,
                done: false,
            }));
        }
    }

    /// Removes downloads that nobody takes up; gives the bytes that became free.
    pub(crate) fn remove_forgotten_downloads(&self) -> Result<u64> {
        let mut freed = 0;
        for path in entries(&self.root().join("partial"))? {
            freed += remove_forgotten(path)?;
        }
        Ok(freed)
    }
}

fn remove_forgotten(path: PathBuf) -> Result<u64> {
    let Ok(file) = File::open(&path) else {
        return Ok(0);
    };
    let metadata = file.metadata().map_err(Error::io("examine", &path))?;
    let age = metadata
        .modified()
        .ok()
        .and_then(|time| SystemTime::now().duration_since(time).ok());
    let forgotten = age.is_some_and(|age| age > FORGOTTEN_AFTER);
    if !forgotten
        || !try_exclusive(&file).map_err(Error::io("lock", &path))?
        || !is_same(&file, &path)?
    {
        return Ok(0);
    }
    remove_if_there(&path)?;
    Ok(metadata.blocks() * 512)
}

/// Throws away a download that went wrong.
pub(super) fn forget(writer: &BlobWriter) {
    // Left in place it would only be hashed and refused once more.
    let _ = fs::remove_file(&writer.path);
}
