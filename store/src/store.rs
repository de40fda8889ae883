//! The store: one directory that many kiln processes share without a daemon.
//!
//! ```text
//! format            version of this layout, and whether owners are recorded (`OverlayXattrs::Recorded`)
//! boots             which boot wrote here last, and up to when its writes are known to be on disk
//! blobs/<algorithm>/<hex>          content exactly as received or produced
//! layers/ chains/                  unpacked layers and stacks (module `layer`)
//! refs/tags/<name>                 one small JSON file for each tag
//! refs/images/<algorithm>-<hex>    marks a manifest or index as an image that was built or pulled here
//! refs/pins/<name>                 what something outside the store needs, such as a container
//! records/<kind>/<key>             cache records, one small JSON file each
//! index.db          sizes of layers and parsed references; made again whenever it is missing
//! containers/ names/ volumes/ cache-mounts/    (the runtime's)
//! partial/          downloads under way
//! sources/<kind>/<name>/           what builds fetched from elsewhere and may use again
//! locks/            lock files; `locks/gate` is the one between users and the collector
//! tmp/              things in the making, one locked directory for each owner
//! ```
//!
//! # Concurrency
//!
//! Nothing is changed in place: a thing is made in `tmp/`, checked, and renamed to its name; it is removed by a rename into
//! `tmp/` and deleted there. So a reader sees a whole thing or none, and a killed process leaves only a directory in `tmp/`
//! whose lock is free, which the next one sweeps. Locks are `flock(2)`: they belong to the open file description and end with
//! the process.
//!
//! Every process that uses or makes something writes its name into its *lease*, a file in its locked directory in `tmp/`,
//! while it holds the gate shared; the collector holds the gate alone from reading the leases to the last rename. So whatever
//! a live process has looked up or made stays until that process ends (see `lease`).
//!
//! # Durability
//!
//! Nothing is synced on the way. What was written in an earlier boot counts only when a sync followed it (see `boot`).

pub(crate) mod blob;
pub(crate) mod boot;
pub(crate) mod collect;
pub(crate) mod document;
pub(crate) mod image;
pub(crate) mod index;
pub(crate) mod layout;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod origins;
pub(crate) mod pin;
pub(crate) mod record;
pub(crate) mod removal;
pub(crate) mod shelf;
pub(crate) mod source;
pub(crate) mod tag;
pub(crate) mod temporary;
#[cfg(test)]
mod tests;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;
use crate::layer::Extended;
use boot::BootId;
use lease::Lease;
use lock::Gate;

/// Which extended attributes mark deletions and opaque directories in layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlayXattrs {
    /// `trusted.overlay.*`, for root.
    #[default]
    Trusted,
    /// `user.overlay.*`, for overlay mounts inside a user namespace.
    User,
    /// The same for a user with no other ids than its own: all files belong to it, and what they belong to in the image is
    /// written down (see `tree::owner`).
    Recorded,
}

impl OverlayXattrs {
    /// Whether overlay has to be told to use `user.overlay.*`.
    #[must_use]
    pub fn are_user(self) -> bool {
        self != Self::Trusted
    }
}

/// How a store is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// The attributes that overlay mounts of this user understand.
    pub overlay_xattrs: OverlayXattrs,
    /// Whether images are synced to disk before they are reported.
    pub durable: bool,
}

/// A handle on the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    options: StoreOptions,
    boot: BootId,
    gate: Gate,
    lease: Lease,
    extended: Extended,
}

impl Store {
    /// Opens the store at `root`, making it when there is none.
    pub fn open(root: &Path, options: StoreOptions) -> Result<Self> {
        layout::prepare(root, options.overlay_xattrs)?;
        let store = Self {
            inner: Arc::new(Inner {
                root: root.to_owned(),
                options,
                boot: BootId::current()?,
                gate: Gate::open(root)?,
                lease: Lease::new(root),
                extended: Extended::default(),
            }),
        };
        store.check_boot()?;
        Ok(store)
    }

    /// Whether the store at `root` records the owners of files instead of giving files to them; nothing if there is none yet.
    #[must_use]
    pub fn records_owners(root: &Path) -> Option<bool> {
        layout::records_owners(root)
    }

    /// The directory of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Stacks that this process made.
    pub(crate) fn extended(&self) -> &Extended {
        &self.inner.extended
    }

    /// How the store is used.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.inner.options
    }
}
