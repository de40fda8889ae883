//! A layer's directory against the archive that it is said to be.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read};
use std::ops::ControlFlow;

use super::{Damage, Outcome};
use crate::layer::{LayerRecord, Origin, Result};
use crate::store::lease::Held;
use crate::store::shelf::{ENTRY_FILE, EntryFile};
use crate::view::{Entry, Follow};
use crate::{DiffId, NewTree, Store, View};

/// Files that a report names, of those that differ.
const NAMED: usize = 5;

impl Store {
    pub(super) fn check_layer(&self, diff_id: DiffId) -> Result<Option<Outcome>> {
        let damaged = |found: String| {
            Some(Outcome {
                bytes: 0,
                hashed: false,
                damage: Some(Damage::Layer { diff_id, found }),
            })
        };
        let record = match self.layer_entry(&diff_id)? {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(reason) => return Ok(damaged(format!("{ENTRY_FILE} cannot be read: {reason}"))),
        };
        let found = match record.origin {
            Origin::Written => {
                let files = self.layer_files(&diff_id);
                let found = match self.archive(&files, &record, None) {
                    Ok(written) if written.tar == diff_id.0 => None,
                    Ok(written) => Some(format!("its archive hashes to {}", written.tar)),
                    Err(error) => Some(error.to_string()),
                };
                match found {
                    // Which files it is, its own blob tells.
                    Some(found) => Some(self.compare(&record)?.flatten().unwrap_or(found)),
                    None => None,
                }
            }
            Origin::Received => match self.compare(&record)? {
                Some(found) => found,
                None => {
                    return Ok(Some(Outcome {
                        bytes: 0,
                        hashed: false,
                        damage: None,
                    }));
                }
            },
        };
        Ok(Some(Outcome {
            bytes: record.tar_size,
            hashed: true,
            damage: found.map(|found| Damage::Layer { diff_id, found }),
        }))
    }

    /// What is known of a layer, or why it cannot be read; unlike a look-up this takes nothing away.
    pub(super) fn layer_entry(
        &self,
        diff_id: &DiffId,
    ) -> Result<std::result::Result<Option<LayerRecord>, String>> {
        let path = self.layer_path(diff_id).join(ENTRY_FILE);
        let inside = self.enter()?;
        self.hold(&inside, &[Held::Layer(*diff_id)])?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let is_gone = !self.layer_path(diff_id).exists();
                return Ok(if is_gone {
                    Ok(None)
                } else {
                    Err(error.to_string())
                });
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        let entry = serde_json::from_slice::<EntryFile<LayerRecord>>(&bytes);
        Ok(match entry {
            Ok(entry) if entry.body.diff_id == *diff_id => {
                self.hold(&inside, &entry.needs)?;
                Ok(Some(entry.body))
            }
            Ok(entry) => Err(format!("it is that of {}", entry.body.diff_id)),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Unpacks a blob of the layer again and says what differs, if anything does; `None` when there is no whole blob to
    /// compare with.
    fn compare(&self, record: &LayerRecord) -> Result<Option<Option<String>>> {
        let Some((tree, again)) = self.unpack_any(record)? else {
            return Ok(None);
        };
        if (&again.implied, &again.links, again.hides_all, again.entries)
            != (
                &record.implied,
                &record.links,
                record.hides_all,
                record.entries,
            )
        {
            let reason = format!("{ENTRY_FILE} does not say what the archive says");
            return Ok(Some(Some(reason)));
        }
        let here = self.layer_files(&record.diff_id);
        let right = self.archive(tree.fs(), &again, None)?;
        match self.archive(&here, record, None) {
            Ok(found) if found.tar == right.tar => return Ok(Some(None)),
            Ok(_) => {}
            Err(error) => return Ok(Some(Some(error.to_string()))),
        }
        let family = self.options().overlay_xattrs;
        let views = [&here, tree.fs()].map(|path| View::open(&[path.to_owned()], family));
        Ok(Some(Some(name_differences(&views[0], &views[1])?)))
    }

    /// Unpacks the first blob of a layer that turns out to be its archive. One that does not is damage of its own.
    fn unpack_any(&self, record: &LayerRecord) -> Result<Option<(NewTree, LayerRecord)>> {
        for blob in &record.blobs {
            if self.blob_size(&blob.digest)? != Some(blob.size) {
                continue;
            }
            match self.unpack_again(blob, &record.diff_id) {
                Ok(unpacked) => return Ok(Some(unpacked)),
                Err(error) if error.io_kind() == Some(ErrorKind::StorageFull) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(None)
    }
}

/// The paths that differ between two trees, as a phrase.
fn name_differences(here: &View, right: &View) -> Result<String> {
    let mut paths = BTreeSet::new();
    for (from, to) in [(right, here), (here, right)] {
        let root = from.root()?;
        from.walk(&root, &mut |entry| {
            let other = to.lookup(&entry.path, Follow::Nothing)?;
            let same = match &other {
                Some(other) => is_same(from, entry, to, other)?,
                None => false,
            };
            if !same {
                paths.insert(entry.path.clone());
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if paths.is_empty() {
        return Ok("deletions or the root differ".to_owned());
    }
    let shown: Vec<String> = paths
        .iter()
        .take(NAMED)
        .map(|path| format!("`{}`", crate::tree::path::display(path)))
        .collect();
    let more = match paths.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    Ok(format!("{}{more} differ", shown.join(", ")))
}

fn is_same(left: &View, entry: &Entry, right: &View, other: &Entry) -> Result<bool> {
    let facts = |entry: &Entry| {
        let meta = &entry.meta;
        let length = (!meta.is_directory()).then_some((meta.size, meta.mtime, meta.mtime_nsec));
        (meta.kind, meta.mode, meta.uid, meta.gid, meta.rdev, length)
    };
    if facts(entry) != facts(other) || left.xattrs(entry)? != right.xattrs(other)? {
        return Ok(false);
    }
    if entry.meta.is_symlink() {
        return Ok(left.read_link(entry)? == right.read_link(other)?);
    }
    if entry.meta.kind != crate::Kind::File {
        return Ok(true);
    }
    let files = (left.open_file(entry)?, right.open_file(other)?);
    // One that cannot be read is not the same.
    Ok(same_content(files.0, files.1).unwrap_or(false))
}

fn same_content(left: File, right: File) -> std::io::Result<bool> {
    let [mut left, mut right] = [left, right].map(BufReader::new);
    let (mut one, mut two) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let length = left.read(&mut one)?;
        if length == 0 {
            return Ok(right.read(&mut two[..1])? == 0);
        }
        right.read_exact(&mut two[..length])?;
        if one[..length] != two[..length] {
            return Ok(false);
        }
    }
}
