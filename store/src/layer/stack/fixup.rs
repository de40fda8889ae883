//! Right attributes for implied directories, and hard links to files of lower layers.

use std::collections::BTreeSet;

use super::build::Building;
use crate::layer::{LayerError, LayerRecord, Result};
use crate::tree::path;
use crate::tree::{Attributes, Kind, TreeWriter};
use crate::view::{Entry, Follow, View};

/// The directories whose attributes come out wrong, with the right ones.
pub(super) fn needed(building: &Building<'_>, view: &View) -> Result<Vec<(Vec<u8>, Attributes)>> {
    let paths: BTreeSet<&Vec<u8>> = building
        .implied
        .iter()
        .flat_map(|(_, paths)| paths)
        .collect();
    let mut wrong = Vec::new();
    for path in paths {
        let Some(entry) = view.lookup(path, Follow::Nothing)? else {
            continue;
        };
        let Some(right) = right_attributes(building, view, building.lowers.len(), path)? else {
            continue;
        };
        if !entry.meta.is_directory() {
            continue;
        }
        let shown = Attributes::of(&entry.meta, view.xattrs(&entry)?);
        let is_right = if path.is_empty() {
            // The root's time says nothing: most archives don't have the root, and every mount touches it.
            Attributes {
                mtime: None,
                ..shown
            } == Attributes {
                mtime: None,
                ..right.clone()
            }
        } else {
            shown == right
        };
        if !is_right {
            wrong.push((path.clone(), right));
        }
    }
    Ok(wrong)
}

/// What the topmost of the lowest `count` directories that speaks for itself says. None when none does: then what unpacking
/// gave it is as good as anything.
fn right_attributes(
    building: &Building<'_>,
    view: &View,
    count: usize,
    path: &[u8],
) -> Result<Option<Attributes>> {
    let below = view.lowest(count);
    let Some(entry) = below
        .lookup(path, Follow::Nothing)?
        .filter(|entry| entry.meta.is_directory())
    else {
        return Ok(None);
    };
    let Some(top) = entry.place.top() else {
        return Ok(None);
    };
    let index = count - 1 - top as usize;
    let is_implied = building
        .implied
        .iter()
        .any(|(at, paths)| *at == index && paths.contains(path));
    if is_implied {
        return right_attributes(building, view, index, path);
    }
    Ok(Some(Attributes::of(&entry.meta, below.xattrs(&entry)?)))
}

/// Writes directories with the right attributes. Their root is that of the stack as it stands.
pub(super) fn attributes(
    building: &Building<'_>,
    view: &View,
    writer: &mut TreeWriter,
) -> Result<()> {
    let root = view.root()?;
    writer.set_directory(b"", &Attributes::of(&root.meta, view.xattrs(&root)?))?;
    for (path, right) in needed(building, view)? {
        writer.set_directory(&path, &right)?;
    }
    Ok(())
}

/// Makes the hard links of a layer, whose targets are found in `below`.
pub(super) fn links(record: &LayerRecord, below: &View, writer: &mut TreeWriter) -> Result<()> {
    for link in &record.links {
        let target = below.lookup(&link.target.0, Follow::Parents)?;
        let Some(target) = target.filter(|entry| !entry.meta.is_directory()) else {
            let reason = format!(
                "hard link to `{}`, which no layer below has",
                path::display(&link.target.0)
            );
            return Err(LayerError::refused(&link.path.0, reason));
        };
        let (directory, name) = path::split(&link.path.0);
        let directory = writer.resolve(directory, Follow::All)?.path;
        take_over(writer, &path::join(&directory, name), below, &target)?;
    }
    Ok(())
}

/// Makes an entry of the stack under another name: the same inode where possible.
pub(super) fn take_over(
    writer: &mut TreeWriter,
    place: &[u8],
    view: &View,
    entry: &Entry,
) -> Result<()> {
    if writer.adopt(place, view, entry)? {
        return Ok(());
    }
    let attributes = Attributes::of(&entry.meta, view.xattrs(entry)?);
    match entry.meta.kind {
        Kind::File => writer.file(place, &view.open_file(entry)?, &attributes),
        Kind::Symlink => writer.symlink(place, &view.read_link(entry)?, &attributes),
        kind => writer.node(place, kind, entry.meta.rdev, &attributes),
    }
}
