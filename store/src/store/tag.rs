//! Tags: names of images, one small file each.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::store::boot::Stamp;
use crate::store::lease::Held;
use crate::{Digest, Error, Reference, Result, Store};

/// The file of a tag.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TagFile {
    pub(crate) name: Reference,
    pub(crate) digest: Digest,
    /// Seconds since 1970.
    pub(crate) created: u64,
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
}

impl Store {
    /// Gives a name to a manifest or index in the store, in place of what had that name before. A reference without tag and
    /// digest means `latest`.
    pub fn tag(&self, reference: &Reference, digest: &Digest) -> Result<()> {
        let reference = reference.clone().with_default_tag();
        self.mark_image(digest)?;
        let path = self.tag_path(&reference);
        let inside = self.enter()?;
        let file = TagFile {
            name: reference,
            digest: *digest,
            created: now(),
            stamp: self.stamp(),
        };
        self.write_json("a tag", &path, &file)?;
        drop(inside);
        self.settle()
    }

    /// Takes a name away; gives what it named. The image stays.
    pub fn untag(&self, reference: &Reference) -> Result<Option<Digest>> {
        let reference = reference.clone().with_default_tag();
        let path = self.tag_path(&reference);
        let Some(file) = self.read_json::<TagFile>(&path)? else {
            return Ok(None);
        };
        remove_if_there(&path)?;
        Ok(Some(file.digest))
    }

    /// The manifest or index of this name. A digest in the reference decides over its tag.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Digest>> {
        if let Some(digest) = reference.digest() {
            let inside = self.enter()?;
            self.hold(&inside, &[Held::Blob(*digest)])?;
            return Ok(self.blob_size(digest)?.map(|_| *digest));
        }
        let reference = reference.clone().with_default_tag();
        let inside = self.enter()?;
        let Some(file) = self.read_json::<TagFile>(&self.tag_path(&reference))? else {
            return Ok(None);
        };
        self.hold(&inside, &[Held::Blob(file.digest)])?;
        Ok((file.name == reference).then_some(file.digest))
    }

    /// All names, in order.
    pub fn tags(&self) -> Result<Vec<(Reference, Digest)>> {
        let directory = self.root().join("refs/tags");
        let mut tags = Vec::new();
        for entry in fs::read_dir(&directory).map_err(Error::io("list", &directory))? {
            let path = entry.map_err(Error::io("list", &directory))?.path();
            if let Some(file) = self.read_json::<TagFile>(&path)? {
                tags.push((file.name, file.digest));
            }
        }
        tags.sort();
        Ok(tags)
    }

    /// Writes a small file beside and renames it into place.
    pub(crate) fn write_json(
        &self,
        what: &'static str,
        path: &Path,
        value: &impl Serialize,
    ) -> Result<()> {
        let bytes = serde_json::to_vec(value).map_err(|source| Error::Json { what, source })?;
        let making = self.temporary_file_path()?;
        let mut file = fs::File::create_new(&making).map_err(Error::io("create", &making))?;
        file.write_all(&bytes).map_err(Error::io("write", path))?;
        fs::rename(&making, path).map_err(Error::io("create", path))
    }

    /// Reads a small file; one that is absent or not what it should be counts as none. The latter stays to be told of
    /// (`verify`) until it is written again or the next prune removes it.
    pub(crate) fn read_json<T: serde::de::DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<Option<T>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

/// Removes a small file that another process may have removed.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(Error::io("remove", path)),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
