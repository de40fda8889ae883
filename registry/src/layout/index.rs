//! `index.json`: read, and changed under a lock.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use kiln_store::{Index, MANIFEST_LIMIT, ManifestKind};

use crate::error::{Error, Result};

use super::MARKER;

const NAME: &str = "index.json";

/// Reads the index of a layout.
pub(super) fn read(root: &Path) -> Result<Index> {
    let path = root.join(NAME);
    let size = std::fs::metadata(&path)
        .map_err(|error| Error::io(&path, error))?
        .len();
    if size > MANIFEST_LIMIT {
        return Err(Error::protocol(
            path.display(),
            format!("it has {size} bytes, more than the {MANIFEST_LIMIT} allowed"),
        ));
    }
    let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::protocol(path.display(), format!("it is not an index: {error}")))
}

/// Writes the index of a new layout.
pub(super) fn write_new(root: &Path) -> Result<()> {
    let empty = Index::new(ManifestKind::Oci, Vec::new()).to_bytes()?;
    appear(root, NAME, &empty)
}

/// Whether a file or directory belongs to a layout that is not one yet.
pub(super) fn is_beginning(name: &str) -> bool {
    name == "blobs" || name == NAME || name == MARKER || name.starts_with('.')
}

/// Lets a file appear whole, unless it is there: then that one stays.
pub(super) fn appear(root: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = root.join(name);
    let making = root.join(format!(".{name}.{}", std::process::id()));
    std::fs::write(&making, bytes).map_err(|error| Error::io(&making, error))?;
    let appeared = match std::fs::hard_link(&making, &path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without hard links: the last one stays.
        Err(_) => std::fs::rename(&making, &path),
        linked => linked,
    };
    // A name in the making that stays does no harm.
    let _ = std::fs::remove_file(&making);
    appeared.map_err(|error| Error::io(&path, error))
}

/// Changes the index while nobody else does.
pub(super) fn change(root: &Path, work: impl FnOnce(&mut Index)) -> Result<()> {
    let marker = root.join(MARKER);
    let lock = File::open(&marker).map_err(|error| Error::io(&marker, error))?;
    lock.lock().map_err(|error| Error::io(&marker, error))?;
    let mut index = read(root)?;
    work(&mut index);
    write(root, &index)
    // The lock ends with its file.
}

fn write(root: &Path, index: &Index) -> Result<()> {
    let path = root.join(NAME);
    let making = root.join(format!(".{NAME}.{}", std::process::id()));
    let mut file = File::create(&making).map_err(|error| Error::io(&making, error))?;
    file.write_all(&index.to_bytes()?)
        .map_err(|error| Error::io(&making, error))?;
    std::fs::rename(&making, &path).map_err(|error| Error::io(&path, error))
}
