//! Choosing what goes until the rest fits into a number of bytes.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::{Choice, PruneImages, PruneOptions, is_old, kept_images, may_go};
use crate::Digest;
use crate::store::collect::inventory::{ImageEntry, Inventory, RecordEntry};
use crate::store::collect::usage::Sizes;
use crate::store::lease::Held;
use crate::store::source::IdleSource;

/// Something that may go, the cheapest to do without first.
#[derive(Debug, Clone, Copy)]
enum Candidate<'a> {
    /// A compressed layer that can be fetched again.
    Blob(Digest),
    /// A cache record.
    Record(&'a RecordEntry),
    /// An image with a name.
    Image(Digest),
}

/// What counts against the limit before anything goes for its sake.
pub(super) fn present(
    inventory: &Inventory,
    choice: &Choice,
    sizes: &Sizes,
    options: &PruneOptions,
) -> u64 {
    let all = sizes.of_things(&left(inventory, choice, &[]));
    match options.only_cache {
        true => all.saturating_sub(sizes.of_things(&without_cache(inventory, choice))),
        false => all,
    }
}

/// Leaves only those sources chosen that have to go for the rest, of `all` bytes together, to fit; gives the bytes that stay.
pub(super) fn choose_sources(sources: &mut Vec<IdleSource>, all: u64, limit: u64) -> u64 {
    let mut kept = all;
    let mut gone = 0;
    while kept > limit && gone < sources.len() {
        kept -= sources[gone].bytes;
        gone += 1;
    }
    sources.truncate(gone);
    kept
}

/// Adds candidates to the choice until the rest fits. What remains shrinks with each, so their number is searched for.
pub(super) fn choose(
    inventory: &Inventory,
    choice: &mut Choice,
    sizes: &Sizes,
    options: &PruneOptions,
    limit: u64,
) {
    let candidates = candidates(inventory, choice, options);
    let limit = match options.only_cache {
        true => limit.saturating_add(sizes.of_things(&without_cache(inventory, choice))),
        false => limit,
    };
    let size_without =
        |dropped: usize| sizes.of_things(&left(inventory, choice, &candidates[..dropped]));
    let (mut low, mut high) = (0, candidates.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if size_without(middle) <= limit {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    for candidate in &candidates[..low] {
        match candidate {
            Candidate::Blob(blob) => {
                choice.blobs.insert(*blob);
            }
            Candidate::Record(record) => {
                choice.records.insert(record.path.clone(), record.used);
            }
            Candidate::Image(image) => {
                choice.images.insert(*image);
            }
        }
    }
}

fn candidates<'a>(
    inventory: &'a Inventory,
    choice: &Choice,
    options: &PruneOptions,
) -> Vec<Candidate<'a>> {
    let mut blobs = refetchable(inventory);
    blobs.sort_by_key(|blob| (Reverse(inventory.blobs.get(blob).copied()), *blob));
    let mut records: Vec<&RecordEntry> = inventory
        .records
        .iter()
        .filter(|record| !choice.records.contains_key(&record.path) && is_old(record, options))
        .collect();
    records.sort_by_key(|record| record.used);
    let mut images: Vec<(&Digest, &ImageEntry)> = inventory
        .images
        .iter()
        .filter(|(digest, image)| {
            options.images == PruneImages::All
                && !choice.images.contains(*digest)
                && may_go(inventory, digest, image, options)
        })
        .collect();
    images.sort_by_key(|(digest, image)| (image.created, **digest));
    let images = images.iter().map(|(digest, _)| Candidate::Image(**digest));
    let blobs = blobs
        .into_iter()
        .filter(|_| !options.only_cache)
        .map(Candidate::Blob);
    blobs
        .chain(records.into_iter().map(Candidate::Record))
        .chain(images)
        .collect()
}

/// Compressed layers that a registry is known to hold and whose layers are unpacked here.
fn refetchable(inventory: &Inventory) -> Vec<Digest> {
    let unpacked: HashSet<&Held> = inventory
        .directories
        .iter()
        .filter(|(thing, _)| matches!(thing, Held::Layer(_)))
        .flat_map(|(_, needs)| needs)
        .collect();
    let known: HashSet<Digest> = inventory.origins.iter().map(|origin| origin.blob).collect();
    let may_go = |blob: &Digest| {
        let blob = Held::Blob(*blob);
        unpacked.contains(&blob) && !inventory.leased.contains(&blob)
    };
    known
        .into_iter()
        .filter(|blob| inventory.blobs.contains_key(blob) && may_go(blob))
        .collect()
}

/// What stays when these candidates go too.
fn left(inventory: &Inventory, choice: &Choice, dropped: &[Candidate<'_>]) -> HashSet<Held> {
    let mut blobs = choice.blobs.clone();
    let (mut images, mut records) = (HashSet::new(), HashSet::new());
    for candidate in dropped {
        match candidate {
            Candidate::Blob(blob) => {
                blobs.insert(*blob);
            }
            Candidate::Record(record) => {
                records.insert(&record.path);
            }
            Candidate::Image(image) => {
                images.insert(*image);
            }
        }
    }
    let kept_images = inventory
        .images
        .iter()
        .filter(|(digest, _)| !choice.images.contains(*digest) && !images.contains(*digest))
        .map(|(_, image)| image);
    let kept_records = inventory.records.iter().filter(|record| {
        !choice.records.contains_key(&record.path) && !records.contains(&record.path)
    });
    let mut left = inventory.reached(kept_images, kept_records);
    for blob in blobs {
        left.remove(&Held::Blob(blob));
    }
    left
}

/// What images, pins and live processes keep.
fn without_cache(inventory: &Inventory, choice: &Choice) -> HashSet<Held> {
    inventory.reached(
        kept_images(inventory, choice).into_iter(),
        std::iter::empty(),
    )
}
