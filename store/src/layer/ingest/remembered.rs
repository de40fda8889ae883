//! What unpacking has to keep in memory until the archive ends, which is bounded: an archive may not ask for any amount.

use std::collections::{BTreeMap, BTreeSet};

use crate::layer::{LayerError, Result};
use crate::tree::{Time, path};

/// What remembering a name takes besides its bytes.
const OVERHEAD: usize = 64;

/// The time of directories that the archive doesn't list and no lower layer has.
pub(super) const IMPLIED_TIME: Time = (0, 0);

pub(super) struct Remembered {
    bytes: u64,
    limit: u64,
    /// Directories that the archive doesn't list.
    pub implied: BTreeSet<Vec<u8>>,
    /// Times of directories, set when nothing more is made in them.
    pub times: BTreeMap<Vec<u8>, Time>,
    /// What directories hand down, set when nothing more is made in them.
    pub default_acls: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Hard links to what a lower layer has, with their targets.
    pub links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Remembered {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            bytes: 0,
            limit,
            implied: BTreeSet::from([Vec::new()]),
            times: BTreeMap::from([(Vec::new(), IMPLIED_TIME)]),
            default_acls: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    /// Counts bytes that an entry adds.
    pub(super) fn count(&mut self, entry: &[u8], bytes: usize) -> Result<()> {
        if bytes > 0 {
            self.bytes = self.bytes.saturating_add((bytes + OVERHEAD) as u64);
        }
        if self.bytes > self.limit {
            return Err(over_limit(
                entry,
                "what has to be remembered of its directories and links",
                self.limit,
            ));
        }
        Ok(())
    }

    /// Forgets a directory that is gone, and all below it.
    pub(super) fn forget_below(&mut self, gone: &[u8]) {
        self.implied.retain(|known| !path::is_within(known, gone));
        self.times.retain(|known, _| !path::is_within(known, gone));
        self.default_acls
            .retain(|known, _| !path::is_within(known, gone));
        self.links.retain(|known, _| !path::is_within(known, gone));
    }
}

pub(super) fn over_limit(entry: &[u8], what: &'static str, limit: u64) -> LayerError {
    LayerError::Limit {
        entry: path::display(entry),
        what,
        limit,
    }
}
