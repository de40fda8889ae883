//! Names of the files of a store, its format version, and how it is first made.

use std::fs::{self, DirBuilder};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::{Algorithm, ChainId, DiffId, Digest, Error, OverlayXattrs, Reference, Result, Store};

/// The version of the layout that this program reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// Readable names of tags end here; longer ones (255 is the kernel's limit) are hashed.
const MAX_TAG_NAME: usize = 200;

const DIRECTORIES: &[&str] = &[
    "blobs",
    "blobs/sha256",
    "layers",
    "chains",
    "refs",
    "refs/tags",
    "refs/images",
    "refs/pins",
    "records",
    "partial",
    "locks",
    "tmp",
    // Looked into by commands that only read, which find them on a read-only store too.
    "containers",
    "names",
];

/// Checks the format of the store, or makes a new one in an absent or empty directory.
pub(crate) fn prepare(root: &Path, family: OverlayXattrs) -> Result<()> {
    let path = root.join("format");
    match fs::read_to_string(&path) {
        Ok(text) => {
            check_format(root, &text, family)?;
            // A removal of the whole store that was cut short leaves a store with holes.
            make_directories(root)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create(root, family),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// What stands behind the version of a store in which owners are recorded.
const RECORDED: &str = "recorded-owners";

/// Whether a store records the owners of files; nothing if there is none, or none that this program reads.
pub(crate) fn records_owners(root: &Path) -> Option<bool> {
    let text = fs::read_to_string(root.join("format")).ok()?;
    let (version, kind) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    match (version.parse() == Ok(FORMAT), kind) {
        (true, "") => Some(false),
        (true, RECORDED) => Some(true),
        _ => None,
    }
}

fn check_format(root: &Path, text: &str, family: OverlayXattrs) -> Result<()> {
    let (version, kind) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let recorded = family == OverlayXattrs::Recorded;
    if version.parse() == Ok(FORMAT) {
        match kind {
            "" if !recorded => return Ok(()),
            RECORDED if recorded => return Ok(()),
            "" => {
                return Err(Error::OwnersNotRecorded {
                    root: root.to_owned(),
                });
            }
            RECORDED => {
                return Err(Error::OwnersRecorded {
                    root: root.to_owned(),
                });
            }
            _ => {}
        }
    }
    Err(Error::Format {
        root: root.to_owned(),
        found: text.trim().to_owned(),
        supported: FORMAT,
    })
}

/// Makes the directories first and the version last, so that a store with a version is whole. Several processes may do this
/// at once.
fn create(root: &Path, family: OverlayXattrs) -> Result<()> {
    match fs::read_dir(root) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(Error::io("list", root))?;
                let ours = |name: &str| entry.file_name().to_str() == Some(name);
                let known = DIRECTORIES.iter().any(|name| ours(name))
                    || ours("format")
                    || ours("lost+found");
                // Another process that makes the store at this moment may be further than this one.
                let making = entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(b".format-");
                if !known && !making && !root.join("format").exists() {
                    return Err(Error::NotAStore {
                        root: root.to_owned(),
                    });
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make_directory(root, true)?,
        Err(error) => return Err(Error::io("list", root)(error)),
    }
    make_directories(root)?;
    let making = root.join(format!(".format-{}", std::process::id()));
    let path = root.join("format");
    let mut file = fs::File::create(&making).map_err(Error::io("create", &making))?;
    let kind = match family {
        OverlayXattrs::Recorded => format!(" {RECORDED}"),
        OverlayXattrs::Trusted | OverlayXattrs::User => String::new(),
    };
    writeln!(file, "{FORMAT}{kind}").map_err(Error::io("write", &making))?;
    match fs::rename(&making, &path) {
        Err(_) if path.exists() => Ok(()),
        done => done.map_err(Error::io("create", &path)),
    }
}

fn make_directories(root: &Path) -> Result<()> {
    DIRECTORIES
        .iter()
        .try_for_each(|name| match root.join(name) {
            path if path.is_dir() => Ok(()),
            path => make_directory(&path, false),
        })
}

/// Layers hold set-user-id programs and other people's data: only the owner may enter the store.
fn make_directory(path: &Path, recursive: bool) -> Result<()> {
    match DirBuilder::new()
        .mode(0o700)
        .recursive(recursive)
        .create(path)
    {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(Error::io("create", path)),
    }
}

/// `<hex>` for SHA-256, `<algorithm>-<hex>` otherwise.
pub(crate) fn digest_name(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex(),
        other => format!("{}-{}", other.name(), digest.hex()),
    }
}

/// The digest that [`digest_name`] wrote.
pub(crate) fn parse_digest_name(name: &str) -> Option<Digest> {
    match name.split_once('-') {
        Some(_) => name.replacen('-', ":", 1).parse().ok(),
        None => format!("sha256:{name}").parse().ok(),
    }
}

/// The file name of a tag: the normalised reference, readable as long as it fits. A reference has no plus sign.
fn tag_name(reference: &Reference) -> String {
    let name = reference.to_string().replace('/', "+");
    if name.len() <= MAX_TAG_NAME {
        return name;
    }
    format!("long-{}", blake3::hash(name.as_bytes()).to_hex())
}

/// Makes one directory below an existing one, unless it is there.
pub(crate) fn ensure_directory(path: &Path) -> Result<()> {
    make_directory(path, false)
}

/// The paths in a directory; none when it is absent.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.map_err(Error::io("list", directory))?,
    };
    list.map(|entry| {
        entry
            .map(|entry| entry.path())
            .map_err(Error::io("list", directory))
    })
    .collect()
}

/// All content with its path; what is not named like content is left alone.
pub(crate) fn stored_blobs(root: &Path) -> Result<Vec<(Digest, PathBuf)>> {
    let mut blobs = Vec::new();
    for directory in entries(&root.join("blobs"))? {
        let algorithm = file_name(&directory);
        for path in entries(&directory)? {
            if let Ok(digest) = format!("{algorithm}:{}", file_name(&path)).parse() {
                blobs.push((digest, path));
            }
        }
    }
    Ok(blobs)
}

/// The last part of a path, empty when it is not text.
pub(crate) fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

impl Store {
    /// Where content is or would be.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let mut path = self.root().join("blobs");
        path.push(digest.algorithm().name());
        path.push(digest.hex());
        path
    }

    /// Where a layer is or would be.
    pub(crate) fn layer_path(&self, layer: &DiffId) -> PathBuf {
        self.root().join("layers").join(digest_name(layer.digest()))
    }

    /// Where the fix-ups of a stack are or would be.
    pub(crate) fn chain_path(&self, chain: &ChainId) -> PathBuf {
        self.root().join("chains").join(digest_name(chain.digest()))
    }

    pub(crate) fn tag_path(&self, reference: &Reference) -> PathBuf {
        self.root().join("refs/tags").join(tag_name(reference))
    }

    pub(crate) fn image_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("refs/images").join(digest_name(digest))
    }
}
