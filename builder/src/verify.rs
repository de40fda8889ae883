//! Whether two builds of the same sources are the same, and where they first differ.

use std::io::Read;

use kiln_store::{DiffId, Entry, Kind, Platform, Store, View};

use crate::error::BuildError;
use crate::export::BuiltTarget;

/// Read at once from two files.
const PIECE: usize = 256 << 10;

/// The first difference between two builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The platform of the image.
    pub platform: Platform,
    /// The instruction whose layer differs, as histories show it; none if only the configuration does.
    pub step: Option<String>,
    /// The path that differs, none if the layers hold the same files.
    pub path: Option<String>,
    /// What differs about it.
    pub what: String,
}

/// Finds the first difference between two results, layer by layer, path by path.
pub fn compare(
    store: &Store,
    one: &[BuiltTarget],
    two: &[BuiltTarget],
) -> Result<Option<Difference>, BuildError> {
    for (one, two) in one.iter().zip(two) {
        if let Some(difference) = compare_target(store, one, two)? {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

fn compare_target(
    store: &Store,
    one: &BuiltTarget,
    two: &BuiltTarget,
) -> Result<Option<Difference>, BuildError> {
    let found = |step, path, what| Difference {
        platform: one.platform.clone(),
        step,
        path,
        what,
    };
    let layers = one.config.diff_ids().iter().zip(two.config.diff_ids());
    for (number, (first, second)) in layers.enumerate() {
        if first == second {
            continue;
        }
        let made = one.config.history.iter().filter(|entry| !entry.empty_layer);
        let step = made
            .clone()
            .nth(number)
            .and_then(|entry| entry.created_by.clone());
        let difference = layer_difference(store, first, second)
            .map_err(|error| BuildError::host("cannot compare two layers", error))?;
        return Ok(Some(match difference {
            Some((path, what)) => found(step, Some(path), what),
            None => found(
                step,
                None,
                "the layers delete different files, or name them in another order".to_owned(),
            ),
        }));
    }
    if one.config != two.config {
        let what = "the configurations differ, such as in their times".to_owned();
        return Ok(Some(found(None, None, what)));
    }
    Ok(None)
}

type Found = Option<(String, String)>;
/// A failure to read a layer or a file: only told, never told apart.
type Reading<T> = Result<T, Box<dyn std::error::Error>>;

fn layer_difference(store: &Store, one: &DiffId, two: &DiffId) -> Reading<Found> {
    let (one, two) = (
        store.stack(std::slice::from_ref(one))?.view(),
        store.stack(std::slice::from_ref(two))?.view(),
    );
    let roots = (one.root()?, two.root()?);
    directory_difference(&one, &two, &roots.0, &roots.1)
}

fn directory_difference(one: &View, two: &View, first: &Entry, second: &Entry) -> Reading<Found> {
    let (left, right) = (one.read_dir(first)?, two.read_dir(second)?);
    let mut right = right.into_iter().peekable();
    for entry in left {
        match right.peek().map(|other| other.path.cmp(&entry.path)) {
            Some(std::cmp::Ordering::Equal) => {}
            Some(std::cmp::Ordering::Less) => break,
            _ => {
                return Ok(Some((
                    format!("/{}", entry.display()),
                    "only the first build has it".to_owned(),
                )));
            }
        }
        let Some(other) = right.next() else { break };
        if let Some(what) = entry_difference(one, two, &entry, &other)? {
            return Ok(Some((format!("/{}", entry.display()), what)));
        }
        if entry.meta.is_directory() {
            let below = directory_difference(one, two, &entry, &other)?;
            if below.is_some() {
                return Ok(below);
            }
        }
    }
    Ok(right.next().map(|entry| {
        (
            format!("/{}", entry.display()),
            "only the second build has it".to_owned(),
        )
    }))
}

fn entry_difference(
    one: &View,
    two: &View,
    first: &Entry,
    second: &Entry,
) -> Reading<Option<String>> {
    let (a, b) = (&first.meta, &second.meta);
    if a.kind != b.kind {
        return Ok(Some(
            format!("it is a {:?} and a {:?}", a.kind, b.kind).to_lowercase(),
        ));
    }
    if a.mode != b.mode {
        return Ok(Some(format!("its mode is {:o} and {:o}", a.mode, b.mode)));
    }
    if (a.uid, a.gid) != (b.uid, b.gid) {
        return Ok(Some(format!(
            "its owner is {}:{} and {}:{}",
            a.uid, a.gid, b.uid, b.gid
        )));
    }
    if a.kind == Kind::Symlink && one.read_link(first)? != two.read_link(second)? {
        return Ok(Some("the link points to different places".to_owned()));
    }
    if a.kind == Kind::File {
        if a.size != b.size {
            return Ok(Some(format!("its size is {} and {}", a.size, b.size)));
        }
        if let Some(at) = content_difference(one, two, first, second)? {
            return Ok(Some(format!("its content differs from byte {at} on")));
        }
    }
    if one.xattrs(first)? != two.xattrs(second)? {
        return Ok(Some("its extended attributes differ".to_owned()));
    }
    if (a.mtime, a.mtime_nsec) != (b.mtime, b.mtime_nsec) {
        return Ok(Some("its modification time differs".to_owned()));
    }
    Ok(None)
}

/// Where two files of the same size first differ.
fn content_difference(
    one: &View,
    two: &View,
    first: &Entry,
    second: &Entry,
) -> Reading<Option<u64>> {
    let (mut one, mut two) = (one.open_file(first)?, two.open_file(second)?);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut at = 0;
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(PIECE as u64).read_to_end(&mut left)?;
        two.by_ref().take(PIECE as u64).read_to_end(&mut right)?;
        if left != right {
            let same = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
            return Ok(Some(at + same as u64));
        }
        if left.is_empty() {
            return Ok(None);
        }
        at += left.len() as u64;
    }
}
