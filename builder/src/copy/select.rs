//! Which entries the sources of a `COPY` name.
//!
//! A source is a path or a pattern in a tree. Links in the way and a link that is itself named are followed inside the
//! tree; links inside a directory that is taken stay links. A pattern that matches nothing is no error, a path that is
//! not there is one.

use kiln_grammar::ignore::{Matched, Patterns};
use kiln_store::tree::path;
use kiln_store::view::{Entry, Follow, View};

use super::CopyError;
use super::wildcard::{has_wildcard, matches};

/// What matches any number of directories, with `--parents` only.
const ANY_DEPTH: &[u8] = b"**";
/// Where the kept part of a source begins, with `--parents`.
const PIVOT: &str = "/./";

/// A tree that files are taken from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceTree<'a> {
    /// Its files.
    pub(crate) view: &'a View,
    /// What takes no part.
    pub(crate) ignore: Option<&'a Patterns>,
    /// What messages call it.
    pub(crate) name: &'a str,
}

/// How sources are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SelectOptions<'a> {
    /// What is left out, relative to each source.
    pub(crate) exclude: &'a Patterns,
    /// The source's own path is kept.
    pub(crate) parents: bool,
    /// As BuildKit has it: a source that is a file is never excluded.
    pub(crate) strict: bool,
}

/// One thing that a source names.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// What it is called in a directory that it is put into: its last name, or with `--parents` its path.
    pub(crate) name: Vec<u8>,
    /// With `--parents`, the directories of that path, outermost first.
    pub(crate) parents: Vec<Taken>,
    /// The entry itself, links followed.
    pub(crate) top: Entry,
    /// What lies below it, each directory before its content.
    pub(crate) below: Vec<Taken>,
}

/// One entry with its path below the selected one.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) relative: Vec<u8>,
    pub(crate) entry: Entry,
}

/// Finds what one source names, in the order of names.
pub(crate) fn select(
    tree: &SourceTree<'_>,
    source: &str,
    options: &SelectOptions<'_>,
) -> Result<Vec<Selected>, CopyError> {
    let finder = Finder {
        tree,
        options,
        source,
    };
    if options.parents {
        finder.with_parents()
    } else {
        finder.plain()
    }
}

/// Takes what lies at a path that is no pattern.
pub(crate) fn select_literal(
    tree: &SourceTree<'_>,
    source: &str,
    options: &SelectOptions<'_>,
) -> Result<Vec<Selected>, CopyError> {
    let finder = Finder {
        tree,
        options,
        source,
    };
    let wanted = path::normalize(source.as_bytes());
    let top = finder.existing(&wanted)?;
    let name = path::file_name(&wanted).to_vec();
    Ok(finder
        .selected(name, Vec::new(), top)?
        .into_iter()
        .collect())
}

struct Finder<'a> {
    tree: &'a SourceTree<'a>,
    options: &'a SelectOptions<'a>,
    source: &'a str,
}

impl Finder<'_> {
    fn plain(&self) -> Result<Vec<Selected>, CopyError> {
        let wanted = path::normalize(self.source.as_bytes());
        let parts: Vec<&[u8]> = path::components(&wanted).collect();
        let Some(first) = parts.iter().position(|part| has_wildcard(part)) else {
            let top = self.existing(&wanted)?;
            return Ok(self
                .selected(path::file_name(&wanted).to_vec(), Vec::new(), top)?
                .into_iter()
                .collect());
        };
        let mut found = Vec::new();
        if let Some(start) = self.lookup(&parts[..first].join(&b'/'))? {
            self.expand(&start, &parts[first..], &mut found)?;
        }
        let mut selected = Vec::with_capacity(found.len());
        for entry in found {
            let name = entry.name().to_vec();
            let Some(top) = self.followed(entry)? else {
                continue;
            };
            selected.extend(self.selected(name, Vec::new(), top)?);
        }
        Ok(selected)
    }

    fn with_parents(&self) -> Result<Vec<Selected>, CopyError> {
        let (pivot, kept) = match self.source.split_once(PIVOT) {
            Some((pivot, kept)) => (
                path::normalize(pivot.as_bytes()),
                path::normalize(kept.as_bytes()),
            ),
            None => (
                Vec::new(),
                path::normalize(
                    self.source
                        .strip_prefix("./")
                        .unwrap_or(self.source)
                        .as_bytes(),
                ),
            ),
        };
        let pivot = self.existing(&pivot)?;
        let parts: Vec<&[u8]> = path::components(&kept).collect();
        let mut found = Vec::new();
        self.expand(&pivot, &parts, &mut found)?;
        let is_pattern = parts.iter().any(|part| has_wildcard(part));
        if found.is_empty() && !is_pattern {
            return Err(self.not_found(&path::join(&pivot.path, &kept)));
        }
        let mut selected = Vec::with_capacity(found.len());
        for entry in found {
            let name = below(&pivot.path, &entry.path).to_vec();
            let mut parents = Vec::new();
            for directory in path::ancestors(&name) {
                let above = self
                    .tree
                    .view
                    .lookup(&path::join(&pivot.path, directory), Follow::Parents)?;
                parents.extend(above.map(|entry| Taken {
                    relative: directory.to_vec(),
                    entry,
                }));
            }
            selected.extend(self.selected(name, parents, entry)?);
        }
        Ok(selected)
    }

    /// Follows the components of a pattern from a directory.
    fn expand(
        &self,
        from: &Entry,
        parts: &[&[u8]],
        found: &mut Vec<Entry>,
    ) -> Result<(), CopyError> {
        let Some((part, rest)) = parts.split_first() else {
            found.push(from.clone());
            return Ok(());
        };
        if !from.meta.is_directory() {
            return Ok(());
        }
        if self.options.parents && *part == ANY_DEPTH {
            self.expand(from, rest, found)?;
            for entry in self.children(from)? {
                if entry.meta.is_directory() {
                    self.expand(&entry, parts, found)?;
                } else if rest.is_empty() {
                    found.push(entry);
                }
            }
            return Ok(());
        }
        if !has_wildcard(part) {
            let child = self.tree.view.child(from, part)?;
            return match child.filter(|entry| self.takes_part(entry)) {
                Some(child) => self.expand(&child, rest, found),
                None => Ok(()),
            };
        }
        for entry in self.children(from)? {
            let is_match = matches(part, entry.name()).map_err(|error| CopyError::Pattern {
                pattern: self.source.to_owned(),
                reason: error.to_string(),
            })?;
            if is_match {
                self.expand(&entry, rest, found)?;
            }
        }
        Ok(())
    }

    fn children(&self, directory: &Entry) -> Result<Vec<Entry>, CopyError> {
        let mut entries = self.tree.view.read_dir(directory)?;
        entries.retain(|entry| self.takes_part(entry));
        Ok(entries)
    }

    fn existing(&self, wanted: &[u8]) -> Result<Entry, CopyError> {
        self.lookup(wanted)?.ok_or_else(|| self.not_found(wanted))
    }

    fn lookup(&self, wanted: &[u8]) -> Result<Option<Entry>, CopyError> {
        Ok(self
            .tree
            .view
            .lookup(wanted, Follow::All)?
            .filter(|entry| self.takes_part(entry)))
    }

    fn followed(&self, entry: Entry) -> Result<Option<Entry>, CopyError> {
        if entry.meta.is_symlink() {
            self.lookup(&entry.path)
        } else {
            Ok(Some(entry))
        }
    }

    /// Tells whether the ignore file leaves an entry, or something below it.
    fn takes_part(&self, entry: &Entry) -> bool {
        let Some(patterns) = self.tree.ignore else {
            return true;
        };
        entry.path.is_empty()
            || !patterns.is_ignored(&entry.path)
            || (entry.meta.is_directory() && patterns.may_keep_below(&entry.path))
    }

    fn not_found(&self, wanted: &[u8]) -> CopyError {
        let is_ignored = matches!(self.tree.view.lookup(wanted, Follow::All), Ok(Some(_)));
        CopyError::NotFound {
            tree: self.tree.name.to_owned(),
            path: path::display(wanted),
            is_ignored,
        }
    }

    /// Takes an entry with what lies below it; none if it is excluded itself.
    fn selected(
        &self,
        name: Vec<u8>,
        parents: Vec<Taken>,
        top: Entry,
    ) -> Result<Option<Selected>, CopyError> {
        if !top.meta.is_directory() {
            let is_excluded =
                !self.options.strict && self.options.exclude.is_ignored(path::file_name(&name));
            return Ok((!is_excluded).then_some(Selected {
                name,
                parents,
                top,
                below: Vec::new(),
            }));
        }
        let mut taken = Vec::new();
        let mut walk = Walk {
            finder: self,
            base: top.path.len(),
            taken: &mut taken,
        };
        let ignored = self
            .tree
            .ignore
            .map(|patterns| matched_at(patterns, &top.path));
        walk.directory(&top, ignored.as_ref(), &self.options.exclude.root())?;
        Ok(Some(Selected {
            name,
            parents,
            top,
            below: taken,
        }))
    }
}

/// The walk through one selected directory.
struct Walk<'a> {
    finder: &'a Finder<'a>,
    base: usize,
    taken: &'a mut Vec<Taken>,
}

impl Walk<'_> {
    fn directory(
        &mut self,
        directory: &Entry,
        ignored: Option<&Matched>,
        excluded: &Matched,
    ) -> Result<(), CopyError> {
        let (tree, exclude) = (self.finder.tree, self.finder.options.exclude);
        for entry in tree.view.read_dir(directory)? {
            let relative = if self.base == 0 {
                &entry.path[..]
            } else {
                &entry.path[self.base + 1..]
            };
            let below_ignored = ignored
                .zip(tree.ignore)
                .map(|(above, patterns)| patterns.below(above, &entry.path));
            let below_excluded = if exclude.is_empty() {
                excluded.clone()
            } else {
                exclude.below(excluded, relative)
            };
            let is_left_out = below_ignored.as_ref().is_some_and(Matched::is_ignored)
                || below_excluded.is_ignored();
            let is_directory = entry.meta.is_directory();
            if is_left_out {
                let may_keep = is_directory
                    && (tree
                        .ignore
                        .is_some_and(|patterns| patterns.may_keep_below(&entry.path))
                        || exclude.may_keep_below(relative));
                if !may_keep {
                    continue;
                }
            }
            let mark = self.taken.len();
            self.taken.push(Taken {
                relative: relative.to_vec(),
                entry: entry.clone(),
            });
            if is_directory {
                self.directory(&entry, below_ignored.as_ref(), &below_excluded)?;
                // A directory that is left out comes along only with what it has to hold.
                if is_left_out && self.taken.len() == mark + 1 {
                    self.taken.pop();
                }
            }
        }
        Ok(())
    }
}

/// What the patterns say of a path and the directories above it.
fn matched_at(patterns: &Patterns, wanted: &[u8]) -> Matched {
    let mut matched = patterns.root();
    if wanted.is_empty() {
        return matched;
    }
    for directory in path::ancestors(wanted) {
        matched = patterns.below(&matched, directory);
    }
    patterns.below(&matched, wanted)
}

fn below<'a>(directory: &[u8], path: &'a [u8]) -> &'a [u8] {
    if directory.is_empty() {
        path
    } else {
        path.get(directory.len() + 1..).unwrap_or_default()
    }
}
