//! One directory in place of many: the merged tree of a deep stack, made of hard links.

use std::ops::ControlFlow;

use super::Lower;
use super::build::ChainDirectory;
use super::fixup::take_over;
use crate::layer::Result;
use crate::store::lease::Held;
use crate::tree::Attributes;
use crate::{ChainId, DiffId, Digest, Store, View};

/// More directories than this are not mounted one by one: the kernel ends at 500, and a mount of 128 takes 0.85 ms
/// where one of 20 takes 0.27.
pub(super) const MAX_LOWERS: usize = 128;
/// Prefixes are merged at multiples of this, so that stacks that share layers share the merged directory too.
const STEP: usize = 100;
/// The name of the merged directory in its chain.
const NAME: &str = "merged";

/// How many layers of a deep stack are merged.
pub(super) fn prefix(layers: usize) -> usize {
    (layers - 1) / STEP * STEP
}

/// The merged directory of these layers. It has a chain entry of its own, because the chain itself may be in use as it is.
pub(super) fn merged(store: &Store, layers: &[DiffId]) -> Result<Lower> {
    let stack = store.stack(layers)?;
    let chain = match stack.chain_id() {
        Some(chain) => ChainId(Digest::sha256(format!("merged {chain}").as_bytes())),
        None => ChainId(Digest::sha256(b"merged")),
    };
    if let Some(lower) = store
        .known_chain(&chain)?
        .and_then(|lowers| lowers.into_iter().next())
    {
        return Ok(lower);
    }
    let view = stack.view();
    let directory = ChainDirectory::new(store)?;
    let mut writer = directory.tree(NAME, &View::open(&[], store.options().overlay_xattrs))?;
    let root = view.root()?;
    writer.set_directory(b"", &Attributes::of(&root.meta, view.xattrs(&root)?))?;
    view.walk(&root, &mut |entry| {
        if entry.meta.is_directory() {
            let attributes = Attributes::of(&entry.meta, view.xattrs(entry)?);
            writer.ensure_directory(&entry.path, &attributes, &attributes)?;
        } else {
            take_over(&mut writer, &entry.path, &view, entry)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    writer.finish()?;
    let lower = Lower::Chain(chain, NAME.to_owned());
    // What it shows is made of these layers: it stays as long as they do.
    let layers: Vec<Held> = layers.iter().map(|layer| Held::Layer(*layer)).collect();
    directory.keep(&chain, vec![lower.clone()], &layers)?;
    Ok(lower)
}
