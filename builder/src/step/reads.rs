//! What a step without a process reads of the files it works on: the identity of that is part of its content key.

use kiln_store::tree::path;
use kiln_store::view::{Entry, Follow, View};

use crate::cache::KeyHasher;
use crate::copy::{CopyError, Selected};

/// Adds the way to a destination: every component with the attributes that a copy of it takes along, links with their
/// targets.
pub(crate) fn way(
    hasher: &mut KeyHasher,
    view: &View,
    destination: &[u8],
) -> Result<(), CopyError> {
    let wanted = path::normalize(destination);
    attributes(hasher, view, &view.root()?)?;
    for place in path::ancestors(&wanted).chain([wanted.as_slice()]) {
        let Some(entry) = view.lookup(place, Follow::Parents)? else {
            hasher.bytes(b"absent");
            return Ok(());
        };
        attributes(hasher, view, &entry)?;
        if entry.meta.is_symlink() {
            hasher.bytes(&view.read_link(&entry)?);
            if let Some(target) = view.lookup(place, Follow::All)? {
                hasher.bytes(&target.path);
                for above in path::ancestors(&target.path) {
                    let above = view.lookup(above, Follow::Nothing)?;
                    above.map_or(Ok(()), |above| attributes(hasher, view, &above))?;
                }
                attributes(hasher, view, &target)?;
            }
        }
    }
    Ok(())
}

/// Adds what lies where the selected files go.
pub(crate) fn overwritten(
    hasher: &mut KeyHasher,
    view: &View,
    destination: &[u8],
    selected: &[Selected],
) -> Result<(), CopyError> {
    let Some(base) = view.lookup(destination, Follow::All)? else {
        return Ok(());
    };
    for one in selected {
        let target = match one.top.meta.is_directory() && one.parents.is_empty() {
            true => base.path.clone(),
            false => path::join(&base.path, &one.name),
        };
        let parents = one
            .parents
            .iter()
            .map(|taken| path::join(&base.path, &taken.relative));
        let below = one
            .below
            .iter()
            .map(|taken| path::join(&target, &taken.relative));
        let mut absent: Option<Vec<u8>> = None;
        for place in parents.chain([target.clone()]).chain(below) {
            if absent
                .as_ref()
                .is_some_and(|absent| path::is_within(&place, absent))
            {
                continue;
            }
            match view.lookup(&place, Follow::Nothing)? {
                None => {
                    hasher.bytes(b"absent");
                    absent = Some(place);
                }
                Some(entry) => hasher.number(entry.meta.kind as u64),
            }
        }
    }
    Ok(())
}

fn attributes(hasher: &mut KeyHasher, view: &View, entry: &Entry) -> Result<(), CopyError> {
    let meta = &entry.meta;
    for number in [meta.kind as u32, meta.mode, meta.uid, meta.gid] {
        hasher.number(u64::from(number));
    }
    for (name, value) in view.xattrs(entry)? {
        hasher.bytes(&name);
        hasher.bytes(&value);
    }
    Ok(())
}
