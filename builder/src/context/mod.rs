//! Directories that a build takes files from: read in place, only what steps name.

mod fetched;
mod hashes;
mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiln_grammar::ignore::Patterns;
use kiln_store::Store;
use kiln_store::view::View;

use crate::copy::SourceTree;
use crate::error::BuildError;
use crate::request::{BuildRequest, NamedContext};
use crate::sources::Sources;

pub(crate) use fetched::fetched_time;
pub use fetched::{
    ContextContent, FetchedContext, fetch_context, is_remote, needs_ssh, read_context,
};
pub(crate) use hashes::IndexedHashes;
pub(crate) use index::ContextIndex;

/// A directory with its ignore rules and what is known of its files.
#[derive(Debug)]
pub(crate) struct Context {
    view: View,
    ignore: Option<Patterns>,
    name: String,
    pub(crate) hashes: IndexedHashes,
    /// Its directory is there at the next build.
    lasts: bool,
}

impl Context {
    fn open(
        store: &Store,
        name: &str,
        directory: &Path,
        ignore: Option<&str>,
    ) -> Result<Self, BuildError> {
        let directory = directory.canonicalize().map_err(|error| {
            BuildError::host(
                format!("cannot open the context {}", directory.display()),
                error,
            )
        })?;
        if !directory.is_dir() {
            let message = "it is no directory";
            return Err(BuildError::host(
                format!("cannot open the context {}", directory.display()),
                message,
            ));
        }
        let ignore = ignore
            .map(Patterns::parse)
            .transpose()
            .map_err(|error| BuildError::host("cannot read the .dockerignore file", error))?
            .filter(|patterns| !patterns.is_empty());
        let lasts = !directory.starts_with(store.root().join("tmp"));
        Ok(Self {
            lasts,
            view: View::directory(&directory),
            ignore,
            name: if name.is_empty() {
                "context".to_owned()
            } else {
                format!("context {name}")
            },
            hashes: IndexedHashes::new(ContextIndex::open(store.root(), &directory)),
        })
    }

    /// Its files.
    pub(crate) fn tree(&self) -> SourceTree<'_> {
        SourceTree {
            view: &self.view,
            ignore: self.ignore.as_ref(),
            name: &self.name,
        }
    }
}

/// The contexts of a build by name; its own has the empty name.
#[derive(Debug)]
pub(crate) struct Contexts(BTreeMap<String, Context>);

impl Contexts {
    /// Opens those contexts of a request that are used, fetching what is elsewhere.
    pub(crate) fn open(
        request: &BuildRequest,
        store: &Store,
        sources: &Sources<'_>,
        used: &BTreeSet<String>,
    ) -> Result<Self, BuildError> {
        let mut contexts = BTreeMap::new();
        for name in used {
            let (directory, ignore) = match (name.as_str(), request.named_contexts.get(name)) {
                ("", _) => match &request.context {
                    Some(directory) => (directory.clone(), request.ignore.as_deref()),
                    None => continue,
                },
                (_, Some(NamedContext::Directory { path, ignore })) => {
                    (path.clone(), ignore.as_deref())
                }
                (_, Some(NamedContext::Remote(location))) => {
                    (fetched::fetched_directory(location, sources)?, None)
                }
                _ => continue,
            };
            let context = Context::open(store, name, &directory, ignore)?;
            contexts.insert(name.clone(), context);
        }
        Ok(Self(contexts))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Context> {
        self.0.get(name)
    }

    /// Writes what was learnt of files. A failure costs only time at the next build.
    pub(crate) fn save(&self) -> std::io::Result<()> {
        self.0
            .values()
            .filter(|context| context.lasts)
            .try_for_each(|context| context.hashes.save())
    }
}
