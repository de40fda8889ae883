//! Layers on top of each other, and what a particular stack of them needs beside them.
//!
//! Layers are unpacked without knowing what will lie below them. Most stacks are simply their directories. Where an archive
//! relied on what is below it, the stack gets directories of its own under `chains/`:
//!
//! * *attributes*: a layer with `usr/bin/x` but no entry for `usr` must not give `usr` the attributes its directory happens
//!   to have. A directory on top carries the right ones.
//! * *links*: a hard link to a file of a lower layer is made in a directory right above its layer.
//! * *detours*: a layer with `lib/x` above a layer where `lib` links to `usr/lib` means `usr/lib/x`. The layer's
//!   directory is replaced by one in which it is there.
//! * *depth*: many lower directories make every mount slow and end at the kernel's 500, so the lowest hundred become
//!   one merged directory.
//!
//! The answer for a chain is kept in its record, so a stack that was used before costs one small file and a look at
//! each directory. A chain builds on the longest one below it that has a record. Steps of a build add layers that fit as
//! they are: what they give stays in memory (module `extended`).

mod build;
mod detour;
mod extended;
mod fixup;
mod squash;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Result;
use crate::store::lease::Held;
use crate::{ChainId, DiffId, Store, View};
pub(crate) use extended::Extended;

/// A stack of layers, ready to be mounted or looked into. Its parts stay in the store while this process lives.
#[derive(Debug, Clone)]
pub struct Stack {
    layers: Vec<DiffId>,
    parts: Vec<Lower>,
    lowers: Vec<PathBuf>,
    chain: Option<ChainId>,
    view: View,
}

/// One directory of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Lower {
    /// A layer's.
    Layer(DiffId),
    /// One of this name that was made for a chain.
    Chain(ChainId, String),
}

impl Lower {
    fn held(&self) -> Held {
        match self {
            Self::Layer(layer) => Held::Layer(*layer),
            Self::Chain(chain, _) => Held::Chain(*chain),
        }
    }

    pub(super) fn path(&self, store: &Store) -> PathBuf {
        match self {
            Self::Layer(layer) => store.layer_files(layer),
            Self::Chain(chain, name) => store.chain_path(chain).join(name),
        }
    }
}

/// What is kept with a chain.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChainRecord {
    /// Its directories, lowest first.
    pub(super) lowers: Vec<Lower>,
}

impl Stack {
    /// The layers, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[DiffId] {
        &self.layers
    }

    /// The directories to mount, lowest first: those of the layers and of fix-ups. None for an image without layers.
    #[must_use]
    pub fn lowers(&self) -> &[PathBuf] {
        &self.lowers
    }

    /// The identity of the stack; none for an image without layers.
    #[must_use]
    pub fn chain_id(&self) -> Option<&ChainId> {
        self.chain.as_ref()
    }

    /// Looks into it without mounting it.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.clone()
    }
}

/// Each directory once, where it lies highest: overlay takes none twice. A layer that lies in a stack twice (two steps that
/// change nothing, the same `mkdir` twice) says everything again higher up, so the lower one shows nothing of its own.
fn topmost(parts: &[Lower]) -> impl Iterator<Item = &Lower> {
    parts
        .iter()
        .enumerate()
        .filter(|(index, part)| !parts[index + 1..].contains(part))
        .map(|(_, part)| part)
}

impl Store {
    /// Stacks layers, lowest first. Fix-ups that they need are made when they are stacked for the first time.
    pub fn stack(&self, layers: &[DiffId]) -> Result<Stack> {
        let chain = ChainId::of(layers);
        let parts = match &chain {
            None => Vec::new(),
            Some(chain) => match self.known_chain(chain)? {
                Some(lowers) => lowers,
                None => build::build(self, layers)?,
            },
        };
        let lowers: Vec<PathBuf> = topmost(&parts).map(|lower| lower.path(self)).collect();
        let view = chain.as_ref().and_then(|chain| self.extended().view(chain));
        let view = view.unwrap_or_else(|| View::open(&lowers, self.options().overlay_xattrs));
        Ok(Stack {
            layers: layers.to_vec(),
            parts,
            lowers,
            chain,
            view,
        })
    }

    /// The directories of a chain that was built before, if all of them are still here.
    fn known_chain(&self, chain: &ChainId) -> Result<Option<Vec<Lower>>> {
        if let Some(lowers) = self.extended().parts(chain) {
            return Ok(Some(lowers));
        }
        let thing = Held::Chain(*chain);
        let Some(file) = self.directory::<ChainRecord>(thing)? else {
            return Ok(None);
        };
        if file
            .body
            .lowers
            .iter()
            .all(|lower| lower.path(self).exists())
        {
            return Ok(Some(file.body.lowers));
        }
        self.discard(&thing)?;
        Ok(None)
    }
}
