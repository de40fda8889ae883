//! The identity of what a `COPY` takes, and of what it reads of its destination. Times are no part of it.

use kiln_store::tree::Kind;
use kiln_store::view::{Entry, View};

use super::CopyError;
use super::select::{Selected, SourceTree, Taken};
use crate::cache::KeyHasher;

/// Gives the content of files of a tree, from memory where it can.
pub(crate) trait FileHashes: Sync {
    /// The BLAKE3 hash of a regular file's content and of any entry's extended attributes.
    fn hash(&self, view: &View, entry: &Entry) -> Result<[u8; 32], CopyError>;
}

/// One file as the reason for a miss needs it: where it is and what it holds.
pub(crate) type FileNote = (String, [u8; 32]);

/// Hashes what was selected. `owner_matters` is false where every file gets the same owner anyway.
pub(crate) fn digest(
    tree: &SourceTree<'_>,
    selected: &[Selected],
    owner_matters: bool,
    hashes: &dyn FileHashes,
    notes: &mut Vec<FileNote>,
) -> Result<[u8; 32], CopyError> {
    let entries: Vec<&Entry> = selected
        .iter()
        .flat_map(|one| one.below.iter().map(|taken| &taken.entry).chain([&one.top]))
        .filter(|entry| entry.meta.is_file())
        .collect();
    warm(tree.view, &entries, hashes)?;
    let mut hasher = KeyHasher::new("files");
    let describer = Describer {
        tree,
        owner_matters,
        hashes,
    };
    for one in selected {
        hasher.bytes(&one.name);
        hasher.number(one.parents.len() as u64);
        for Taken { relative, entry } in &one.parents {
            hasher.bytes(relative);
            hasher.raw(&describer.entry(entry)?);
        }
        // Only the content of a directory is taken, not the directory itself, unless its path is kept.
        if one.top.meta.is_directory() && one.parents.is_empty() {
            hasher.bytes(b"content");
        } else {
            let described = describer.entry(&one.top)?;
            notes.push((one.top.display(), described));
            hasher.raw(&described);
        }
        hasher.number(one.below.len() as u64);
        for Taken { relative, entry } in &one.below {
            let described = describer.entry(entry)?;
            hasher.bytes(relative);
            hasher.raw(&described);
            notes.push((entry.display(), described));
        }
    }
    Ok(hasher.finish())
}

/// Files below this number are hashed on one thread: starting threads takes longer.
const PARALLEL_FROM: usize = 64;

/// Hashes many files on all processors, so that the hashes are known when they are asked for in order.
fn warm(view: &View, entries: &[&Entry], hashes: &dyn FileHashes) -> Result<(), CopyError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if entries.len() < PARALLEL_FROM || threads < 2 {
        return Ok(());
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || -> Result<(), CopyError> {
        while let Some(entry) = entries.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            hashes.hash(view, entry)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let joined = others.into_iter().map(|other| other.join());
        let failed = joined.flatten().find(Result::is_err);
        failed.unwrap_or(own)
    })
}

/// Describes entries by everything that a copy of them keeps, except times.
struct Describer<'a> {
    tree: &'a SourceTree<'a>,
    owner_matters: bool,
    hashes: &'a dyn FileHashes,
}

impl Describer<'_> {
    fn entry(&self, entry: &Entry) -> Result<[u8; 32], CopyError> {
        let mut hasher = KeyHasher::new("entry");
        let meta = &entry.meta;
        hasher.number(meta.kind as u64);
        hasher.number(u64::from(meta.mode));
        if self.owner_matters {
            hasher.number(u64::from(meta.uid));
            hasher.number(u64::from(meta.gid));
        }
        hasher.raw(&self.hashes.hash(self.tree.view, entry)?);
        match meta.kind {
            Kind::Symlink => hasher.bytes(&self.tree.view.read_link(entry)?),
            Kind::CharacterDevice | Kind::BlockDevice => hasher.number(meta.rdev),
            Kind::File | Kind::Directory | Kind::Fifo | Kind::Socket => {}
        }
        Ok(hasher.finish())
    }
}
