//! What `ADD` takes from elsewhere, as a tree like any other.

use kiln_grammar::ignore::Patterns;
use kiln_store::View;

use super::Engine;
use crate::copy::{CopyError, SelectOptions, Selected, SourceTree, select_literal};
use crate::graph::CopyOp;
use crate::sources::{Found, RemoteSource};

/// Fetched files with what is taken of them.
pub(super) struct Fetched {
    view: View,
    name: String,
    pub(super) selected: Vec<Selected>,
}

impl Fetched {
    pub(super) fn tree(&self) -> SourceTree<'_> {
        SourceTree {
            view: &self.view,
            ignore: None,
            name: &self.name,
        }
    }
}

impl Engine<'_> {
    /// Makes the files of a source present.
    pub(super) fn fetched(
        &self,
        copy: &CopyOp,
        source: &RemoteSource,
        found: Option<&Found>,
    ) -> Result<Fetched, CopyError> {
        let (directory, taken) = match (source, found) {
            (_, Some(Found::Http(file))) => (file.directory.clone(), file.name.as_str()),
            (RemoteSource::Git(git), Some(Found::Git(commit))) => {
                (self.sources.files(git, commit)?, git.directory.as_str())
            }
            _ => return Err(CopyError::Other("a source was not looked up".to_owned())),
        };
        let view = View::directory(&directory);
        let exclude = Patterns::from_patterns(&copy.exclude)
            .map_err(|error| CopyError::Other(format!("invalid --exclude: {error}")))?;
        let options = SelectOptions {
            exclude: &exclude,
            parents: false,
            strict: copy.strict,
        };
        let name = match source {
            RemoteSource::Http(http) => kiln_registry::shown_url(&http.url),
            RemoteSource::Git(git) => git.remote.clone(),
        };
        let tree = SourceTree {
            view: &view,
            ignore: None,
            name: &name,
        };
        let selected = select_literal(&tree, taken, &options)?;
        Ok(Fetched {
            view,
            name,
            selected,
        })
    }
}
