//! Looking into a stack of layers, or into a plain directory, by descriptors and without mounting anything.
//!
//! A [`View`] shows what an overlay mount of the same directories would show: whiteouts and opaque directories
//! are honoured, directories of the same name are merged. Symbolic links are interpreted against the view's own
//! root, so no link can lead out of it.
//!
//! A view is cheap: directories of layers are opened when first needed. It keeps no copy of what it saw, so a view
//! that has a directory under change on top (a container's, or a layer in the making) shows the present state;
//! what changes *during* one call may be seen before or after. Views can be used from several threads at once.

mod entry;
mod lookup;
mod read;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub(crate) use entry::Place;
pub use entry::{Entry, Follow};

use crate::OverlayXattrs;
use crate::layer::{LayerError, Result};
use crate::tree::metadata::Metadata;
use crate::tree::owner::{Owners, Reach};

/// A merged, read-only look at directories stacked on each other.
#[derive(Debug, Clone)]
pub struct View {
    /// Topmost first.
    layers: Arc<[Arc<LayerDirectory>]>,
    /// How whiteouts are to be read; none for a plain directory, where a 0:0 device is just a device.
    family: Option<OverlayXattrs>,
}

/// One directory of the stack, opened when first needed.
#[derive(Debug)]
pub(crate) struct LayerDirectory {
    path: PathBuf,
    file: OnceLock<File>,
    owners: OnceLock<Owners>,
}

impl LayerDirectory {
    fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            file: OnceLock::new(),
            owners: OnceLock::new(),
        })
    }

    pub(crate) fn fd(&self) -> Result<BorrowedFd<'_>> {
        if let Some(file) = self.file.get() {
            return Ok(file.as_fd());
        }
        let file =
            File::open(&self.path).map_err(|error| LayerError::host("open", &self.path, error))?;
        Ok(self.file.get_or_init(|| file).as_fd())
    }

    fn owners(&self, family: OverlayXattrs) -> Result<&Owners> {
        if let Some(owners) = self.owners.get() {
            return Ok(owners);
        }
        let owners = Owners::of(family, self.fd()?)
            .map_err(|error| LayerError::entry("open", b"", error))?;
        Ok(self.owners.get_or_init(|| owners))
    }
}

impl View {
    /// Looks at overlay directories, lowest first, whose opaque marks are of the given family.
    pub fn open(lowers: &[PathBuf], family: OverlayXattrs) -> Self {
        Self {
            layers: lowers
                .iter()
                .rev()
                .map(|path| LayerDirectory::new(path.clone()))
                .collect(),
            family: Some(family),
        }
    }

    /// Looks at one plain directory of the host, a build context for example.
    pub fn directory(path: &Path) -> Self {
        Self {
            layers: Arc::new([LayerDirectory::new(path.to_owned())]),
            family: None,
        }
    }

    /// The same with one more directory on top.
    pub fn with_upper(&self, upper: &Path, family: OverlayXattrs) -> Self {
        let top = std::iter::once(LayerDirectory::new(upper.to_owned()));
        Self {
            layers: top.chain(self.layers.iter().cloned()).collect(),
            family: Some(family),
        }
    }

    /// The lowest so many directories alone.
    pub(crate) fn lowest(&self, count: usize) -> Self {
        let skipped = self.layers.len().saturating_sub(count);
        Self {
            layers: self.layers[skipped..].iter().cloned().collect(),
            family: self.family,
        }
    }

    /// The directories of this view, lowest first.
    pub fn lowers(&self) -> Vec<PathBuf> {
        self.layers
            .iter()
            .rev()
            .map(|layer| layer.path.clone())
            .collect()
    }

    /// The root of the view. A view of nothing at all has an empty one, as `FROM scratch` does.
    pub fn root(&self) -> Result<Entry> {
        let Some(top) = self.layers.first() else {
            return Ok(Entry {
                path: Vec::new(),
                meta: EMPTY_ROOT,
                place: Place::Merged(Vec::new()),
            });
        };
        let stat = rustix::fs::fstat(top.fd()?)
            .map_err(|error| LayerError::host("examine", &top.path, error))?;
        // Overlay takes no notice of an opaque mark on the root of a layer, and neither do we.
        let layers = (0..self.layers.len() as u32).collect();
        Ok(Entry {
            path: Vec::new(),
            meta: self.correct(0, b"", Metadata::from(&stat), Reach::Open(top.fd()?))?,
            place: Place::of(layers),
        })
    }

    /// What an entry of a layer is in the image, from what it is on disk.
    fn correct(
        &self,
        layer: u32,
        path: &[u8],
        meta: Metadata,
        entry: Reach<'_>,
    ) -> Result<Metadata> {
        let Some(family) = self.family else {
            return Ok(meta);
        };
        self.layers[layer as usize]
            .owners(family)?
            .correct(meta, entry)
            .map_err(|error| LayerError::entry("read the owner of", path, error))
    }
}

/// The root that an image without layers has.
const EMPTY_ROOT: Metadata = Metadata {
    kind: crate::tree::metadata::Kind::Directory,
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    blocks: 0,
    mtime: 0,
    mtime_nsec: 0,
    ctime: 0,
    ctime_nsec: 0,
    rdev: 0,
    dev: 0,
    ino: 0,
    nlink: 1,
};
