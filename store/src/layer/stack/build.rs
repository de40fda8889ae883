//! Working out the directories of a stack.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{ChainRecord, Lower, detour, fixup, squash};
use crate::layer::{LayerError, LayerRecord, Result};
use crate::store::lease::Held;
use crate::tree::TreeWriter;
use crate::view::Follow;
use crate::{ChainId, DiffId, Store, TemporaryDirectory, View};

/// Builds the stack of these layers, of which there is at least one, and records it.
pub(super) fn build(store: &Store, layers: &[DiffId]) -> Result<Vec<Lower>> {
    let chains = chains(layers);
    let Some(chain) = chains.last() else {
        return Ok(Vec::new());
    };
    let (start, lowers) = start(store, layers, &chains)?;
    let grown = start > 0 && store.extended().parts(&chains[start - 1]).is_some();
    let mut building = Building {
        store,
        chain: *chain,
        grown,
        directory: OnceCell::new(),
        lowers,
        own: 0,
        implied: Vec::new(),
        detours: Vec::new(),
    };
    for layer in &layers[start..] {
        let record = store
            .layer(layer)?
            .ok_or_else(|| LayerError::Missing(layer.to_string()))?;
        building.push(&record)?;
    }
    building.finish()
}

/// What is there already: the longest prefix that has a record, or for deep stacks the merged directory of a prefix.
fn start(store: &Store, layers: &[DiffId], chains: &[ChainId]) -> Result<(usize, Vec<Lower>)> {
    for length in (1..layers.len()).rev() {
        if let Some(lowers) = store.known_chain(&chains[length - 1])? {
            if lowers.len() + layers.len() - length > squash::MAX_LOWERS {
                break;
            }
            return Ok((length, lowers));
        }
    }
    if layers.len() > squash::MAX_LOWERS {
        let length = squash::prefix(layers.len());
        return Ok((length, vec![squash::merged(store, &layers[..length])?]));
    }
    Ok((0, Vec::new()))
}

fn chains(layers: &[DiffId]) -> Vec<ChainId> {
    let mut chains: Vec<ChainId> = Vec::with_capacity(layers.len());
    for layer in layers {
        chains.push(match chains.last() {
            Some(below) => below.then(layer),
            None => ChainId(*layer.digest()),
        });
    }
    chains
}

/// A chain's directory in the making.
pub(super) struct ChainDirectory<'a> {
    store: &'a Store,
    path: PathBuf,
    _temporary: TemporaryDirectory,
}

impl<'a> ChainDirectory<'a> {
    pub(super) fn new(store: &'a Store) -> Result<Self> {
        let temporary = store.temporary_directory("chain")?;
        let path = temporary.path().join("chain");
        create(&path, 0o700)?;
        Ok(Self {
            store,
            path,
            _temporary: temporary,
        })
    }

    /// Makes a directory in it and starts to write there, above a view.
    pub(super) fn tree(&self, name: &str, below: &View) -> Result<TreeWriter> {
        let path = self.path.join(name);
        create(&path, 0o755)?;
        let held = File::open(&path).map_err(|error| LayerError::host("open", &path, error))?;
        TreeWriter::at(
            &path,
            held.into(),
            below,
            self.store.options().overlay_xattrs,
        )
    }

    /// Puts it in its place; it goes with the first of its lowers, or of `sources`, that goes. When another process was
    /// faster, what that made is used.
    pub(super) fn keep(
        &self,
        chain: &ChainId,
        lowers: Vec<Lower>,
        sources: &[Held],
    ) -> Result<Vec<Lower>> {
        let thing = Held::Chain(*chain);
        let needs = lowers
            .iter()
            .map(Lower::held)
            .filter(|needed| *needed != thing)
            .chain(sources.iter().copied())
            .collect::<Vec<_>>();
        let record = ChainRecord { lowers };
        loop {
            if self
                .store
                .put_directory(thing, &self.path, &needs, &record)?
            {
                return Ok(record.lowers);
            }
            if let Some(lowers) = self.store.known_chain(chain)? {
                return Ok(lowers);
            }
        }
    }
}

fn create(path: &Path, mode: u32) -> Result<()> {
    let made = DirBuilder::new().mode(mode).create(path);
    made.map_err(|error| LayerError::host("create", path, error))
}

/// A stack that grows from the bottom.
pub(super) struct Building<'a> {
    pub store: &'a Store,
    chain: ChainId,
    /// It starts with a stack that is in memory only.
    grown: bool,
    /// Made when something has to be put into it.
    directory: OnceCell<ChainDirectory<'a>>,
    pub lowers: Vec<Lower>,
    /// Directories made for this chain.
    own: usize,
    /// Directories whose attributes are not to be taken from the lower of this index.
    pub implied: Vec<(usize, HashSet<Vec<u8>>)>,
    /// Layers that directories of this chain stand in for.
    detours: Vec<Held>,
}

impl Building<'_> {
    fn push(&mut self, record: &LayerRecord) -> Result<()> {
        if record.hides_all {
            self.lowers.clear();
            self.implied.clear();
        }
        if self.goes_through_link(record)? {
            let below = self.view();
            self.add(&below, |_, writer| {
                detour::rebuild(self.store, record, &below, writer)
            })?;
            self.detours.push(Held::Layer(record.diff_id));
        } else {
            if !record.implied.is_empty() {
                let implied = record.implied.iter().map(|path| path.0.clone()).collect();
                self.implied.push((self.lowers.len(), implied));
            }
            self.lowers.push(Lower::Layer(record.diff_id));
        }
        if !record.links.is_empty() {
            let view = self.view();
            let below = view.lowest(self.lowers.len() - 1);
            self.add(&view, |building, mut writer| {
                fixup::attributes(building, &view, &mut writer)?;
                fixup::links(record, &below, &mut writer)?;
                writer.finish()
            })?;
            self.implied.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Lower>> {
        let view = self.view();
        if !fixup::needed(&self, &view)?.is_empty() {
            self.add(&view, |building, mut writer| {
                fixup::attributes(building, &view, &mut writer)?;
                writer.finish()
            })?;
        }
        if self.grown && self.own == 0 {
            let lowers = self.lowers.clone();
            self.store.extended().insert(self.chain, lowers, None);
            return Ok(self.lowers);
        }
        self.directory()?;
        match self.directory.into_inner() {
            Some(directory) => directory.keep(&self.chain, self.lowers, &self.detours),
            None => Ok(self.lowers),
        }
    }

    fn directory(&self) -> Result<&ChainDirectory<'_>> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory);
        }
        let directory = ChainDirectory::new(self.store)?;
        Ok(self.directory.get_or_init(|| directory))
    }

    /// True when a directory that the archive took for granted is a link below.
    fn goes_through_link(&self, record: &LayerRecord) -> Result<bool> {
        if self.lowers.is_empty() {
            return Ok(false);
        }
        let below = self.view();
        for path in record.implied.iter().filter(|path| !path.0.is_empty()) {
            if below
                .lookup(&path.0, Follow::Nothing)?
                .is_some_and(|entry| entry.meta.is_symlink())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn view(&self) -> View {
        let is_own =
            |lower: &Lower| matches!(lower, Lower::Chain(chain, _) if *chain == self.chain);
        let path = |lower: &Lower| match lower {
            Lower::Chain(_, name) if is_own(lower) => match self.directory.get() {
                Some(directory) => directory.path.join(name),
                None => lower.path(self.store),
            },
            other => other.path(self.store),
        };
        let paths: Vec<PathBuf> = self.lowers.iter().map(path).collect();
        View::open(&paths, self.store.options().overlay_xattrs)
    }

    /// Puts a directory of our own on top, filled by `fill`.
    fn add(
        &mut self,
        below: &View,
        fill: impl FnOnce(&Self, TreeWriter) -> Result<()>,
    ) -> Result<()> {
        let name = self.own.to_string();
        self.own += 1;
        let writer = self.directory()?.tree(&name, below)?;
        fill(self, writer)?;
        self.lowers.push(Lower::Chain(self.chain, name));
        Ok(())
    }
}
