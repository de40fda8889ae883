//! Stacks that this process made by adding a layer to one that it had: the next step of a chain finds its stack without a look at
//! the disk.
//!
//! All parts are in the lease of this process, so nothing here goes stale. Only the stacks that an image ends with are recorded
//! ([`Store::keep_chain`]); whoever needs another one later works it out from the longest that is.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::build::ChainDirectory;
use super::{Lower, squash};
use crate::layer::{LayerRecord, Origin, Result};
use crate::{ChainId, DiffId, Stack, Store, View};

/// How many views are kept. Each holds directories open, which it shares with those that it grew from; as many stages of a build
/// seldom grow at the same time.
const VIEWS: usize = 4;

/// The stacks by their chain.
#[derive(Debug, Default)]
pub(crate) struct Extended(Mutex<Stacks>);

#[derive(Debug, Default)]
struct Stacks {
    parts: HashMap<ChainId, Vec<Lower>>,
    /// The latest last.
    views: VecDeque<(ChainId, View)>,
}

impl Extended {
    /// The directories of a stack.
    pub(super) fn parts(&self, chain: &ChainId) -> Option<Vec<Lower>> {
        self.stacks().parts.get(chain).cloned()
    }

    /// The view of a stack, with the directories that were opened through it.
    pub(super) fn view(&self, chain: &ChainId) -> Option<View> {
        let stacks = self.stacks();
        let found = stacks.views.iter().find(|(known, _)| known == chain);
        found.map(|(_, view)| view.clone())
    }

    pub(super) fn insert(&self, chain: ChainId, parts: Vec<Lower>, view: Option<View>) {
        let mut stacks = self.stacks();
        stacks.parts.insert(chain, parts);
        if let Some(view) = view {
            stacks.views.push_back((chain, view));
            if stacks.views.len() > VIEWS {
                stacks.views.pop_front();
            }
        }
    }

    fn stacks(&self) -> MutexGuard<'_, Stacks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Remembers the stack of a layer that was made above another one: it fits there as it is.
    pub(in crate::layer) fn extend_chain(&self, below: &Stack, layer: &DiffId) {
        let chain = match &below.chain {
            Some(chain) => chain.then(layer),
            None => ChainId(*layer.digest()),
        };
        let added = Lower::Layer(*layer);
        // One that lies in the stack twice shows only where it lies highest.
        let view = (!below.parts.contains(&added)).then(|| {
            let files = self.layer_files(layer);
            below.view.with_upper(&files, self.options().overlay_xattrs)
        });
        let mut parts = below.parts.clone();
        parts.push(added);
        // The first use of a deeper one makes its merged directory.
        if parts.len() <= squash::MAX_LOWERS {
            self.extended().insert(chain, parts, view);
        }
    }

    /// The same for a layer that was there already, if it fits above any stack.
    pub(in crate::layer) fn extend_chain_with_known(&self, below: &Stack, layer: &LayerRecord) {
        let fits = layer.origin == Origin::Written
            && layer.implied.is_empty()
            && layer.links.is_empty()
            && !layer.hides_all;
        if fits {
            self.extend_chain(below, &layer.diff_id);
        }
    }

    /// Records how these layers are stacked, so that other processes need not work it out.
    pub fn keep_chain(&self, layers: &[DiffId]) -> Result<()> {
        let Some(chain) = ChainId::of(layers) else {
            return Ok(());
        };
        if let Some(parts) = self.extended().parts(&chain) {
            ChainDirectory::new(self)?.keep(&chain, parts, &[])?;
        }
        Ok(())
    }
}
