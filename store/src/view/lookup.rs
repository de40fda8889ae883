//! Finding an entry by its path.

use std::os::fd::AsFd;

use rustix::fs::{OFlags, fstat};
use rustix::io::Errno;

use super::{Entry, Follow, Place, View};
use crate::layer::{LayerError, Result};
use crate::tree::metadata::Metadata;
use crate::tree::owner::Reach;
use crate::tree::{beneath, path, xattr};

/// How many links one look-up follows, as in the kernel (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Where a path leads, for writers: the part that exists and the names that do not.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The last entry that exists, its path free of links.
    pub(crate) found: Entry,
    /// The names below it that don't exist, in order, without `.` and `..`.
    pub(crate) missing: Vec<Vec<u8>>,
}

impl View {
    /// Finds a path, absolute or relative to the root. `..` at the root stays there, also in links.
    ///
    /// `None` when it isn't there, also when a component is no directory. A path through more than 40 links is an error.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<Option<Entry>> {
        let resolved = self.resolve(path, follow)?;
        Ok(resolved.and_then(|resolved| resolved.missing.is_empty().then_some(resolved.found)))
    }

    /// Follows a path as far as it goes. `None` when something that is no directory (and no link to one) is in the way.
    pub(crate) fn resolve(&self, wanted: &[u8], follow: Follow) -> Result<Option<Resolved>> {
        let mut here = vec![self.root()?];
        let mut missing: Vec<Vec<u8>> = Vec::new();
        let mut todo: Vec<Vec<u8>> = path::components(wanted).rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                // Above a name that doesn't exist: by name; above an entry: up, but not above the root.
                if missing.pop().is_none() && here.len() > 1 {
                    here.pop();
                }
                continue;
            }
            if !missing.is_empty() {
                missing.push(part);
                continue;
            }
            let Some(directory) = here.last() else {
                return Ok(None);
            };
            if !directory.meta.is_directory() {
                return Ok(None);
            }
            let Some(entry) = self.child(directory, &part)? else {
                missing.push(part);
                continue;
            };
            let is_last = todo.is_empty();
            let follows = match follow {
                Follow::All => true,
                Follow::Parents => !is_last,
                Follow::Nothing => false,
            };
            if !(entry.meta.is_symlink() && follows) {
                here.push(entry);
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(LayerError::TooManyLinks {
                    path: path::display(wanted),
                });
            }
            let target = self.read_link(&entry)?;
            if target.first() == Some(&b'/') {
                here.truncate(1);
            }
            todo.extend(path::components(&target).rev().map(<[u8]>::to_vec));
        }
        Ok(here.pop().map(|found| Resolved { found, missing }))
    }

    /// Finds one name in a directory of this view, without following it.
    pub fn child(&self, directory: &Entry, name: &[u8]) -> Result<Option<Entry>> {
        let path = path::join(&directory.path, name);
        let layers = directory.place.layers();
        let mut found: Option<(Metadata, Vec<u32>)> = None;
        for (at, &layer) in layers.iter().enumerate() {
            let Some(meta) = self.stat_in(layer, &path)? else {
                continue;
            };
            if self.family.is_some() && meta.is_whiteout() {
                break;
            }
            match &mut found {
                None if !meta.is_directory() => {
                    return Ok(Some(Entry {
                        path,
                        meta,
                        place: Place::One(layer),
                    }));
                }
                None => found = Some((meta, vec![layer])),
                Some(_) if !meta.is_directory() => break,
                Some((_, merged)) => merged.push(layer),
            }
            if at + 1 < layers.len() && self.is_opaque(layer, &path)? {
                break;
            }
        }
        Ok(found.map(|(meta, merged)| Entry {
            path,
            meta,
            place: Place::of(merged),
        }))
    }

    /// `lstat` in one layer; `None` when a component is missing, no directory, or a link.
    pub(crate) fn stat_in(&self, layer: u32, path: &[u8]) -> Result<Option<Metadata>> {
        let directory = self.layers[layer as usize].fd()?;
        let file = match beneath::open(directory, path, OFlags::PATH) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(Errno::NAMETOOLONG) => return Ok(None),
            Err(error) => return Err(LayerError::entry("look up", path, error)),
        };
        let stat = fstat(&file).map_err(|error| LayerError::entry("examine", path, error))?;
        self.correct(
            layer,
            path,
            Metadata::from(&stat),
            Reach::Open(file.as_fd()),
        )
        .map(Some)
    }

    /// True when a directory of a layer hides what lies below it.
    pub(crate) fn is_opaque(&self, layer: u32, path: &[u8]) -> Result<bool> {
        let Some(family) = self.family else {
            return Ok(false);
        };
        let directory = self.layers[layer as usize].fd()?;
        beneath::open(directory, path, beneath::DIRECTORY)
            .and_then(|directory| xattr::is_opaque(directory, family))
            .map_err(|error| LayerError::entry("read the attributes of", path, error))
    }
}
