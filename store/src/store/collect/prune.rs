//! Removing images and cache records by choice, and all content that nothing reaches any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::store::collect::inventory::{ImageEntry, Inventory, RecordEntry};
use crate::store::collect::size::remove_counted;
use crate::store::collect::usage::Sizes;
use crate::store::layout::entries;
use crate::store::lease::Held;
use crate::store::tag::remove_if_there;
use crate::{Digest, Error, Reference, Result, Store};

/// Serialises collections.
const LOCK: &str = "prune";

/// Which images a prune removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PruneImages {
    /// None.
    #[default]
    None,
    /// Those without a name.
    Dangling,
    /// All that no container, pin or live process uses.
    All,
}

/// A condition on the labels of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    /// The label.
    pub name: String,
    /// Its value; any when `None`.
    pub value: Option<String>,
    /// Whether images with the label are spared rather than chosen.
    pub negated: bool,
}

/// What a prune removes, besides everything that nothing reaches.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Which images.
    pub images: PruneImages,
    /// Only images that meet all of these.
    pub labels: Vec<LabelFilter>,
    /// Whether cache records go too.
    pub records: bool,
    /// Only images that came here, and records last used, before this: seconds since 1970.
    pub before: Option<u64>,
    /// Removes further cache records, least recently used first, until images and cache take at most this many bytes.
    pub keep_bytes: Option<u64>,
    /// Only says what would go.
    pub dry_run: bool,
}

/// What a prune removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneReport {
    /// Images.
    pub images: Vec<Digest>,
    /// Their names.
    pub tags: Vec<Reference>,
    /// How many cache records.
    pub records: usize,
    /// How many unpacked layers and fix-ups of stacks.
    pub directories: usize,
    /// How many contents.
    pub blobs: usize,
    /// How many bytes became free on disk.
    pub bytes: u64,
}

/// The images and records chosen to go.
#[derive(Debug, Default)]
struct Choice {
    images: BTreeSet<Digest>,
    /// With the time of last use that they were chosen for.
    records: BTreeMap<PathBuf, (i64, i64)>,
}

impl Store {
    /// Removes what the options choose and everything that nothing reaches, and puts the rest on disk for good. Runs beside
    /// builds, pulls and containers.
    pub fn prune(&self, options: &PruneOptions) -> Result<PruneReport> {
        let _one_at_a_time = self.lock(LOCK)?;
        let inventory = Inventory::read(self)?;
        let mut choice = choose(&inventory, options);
        let sizes = match options.dry_run || options.keep_bytes.is_some() {
            true => Some(Sizes::of(self, &inventory)?),
            false => None,
        };
        if let (Some(limit), Some(sizes)) = (options.keep_bytes, &sizes) {
            choose_until(&inventory, &mut choice, sizes, limit);
        }
        if let Some(sizes) = sizes.filter(|_| options.dry_run) {
            return Ok(forecast(&inventory, &choice, &sizes));
        }
        let report = self.remove(&choice, options)?;
        match self.sync() {
            // On a full disk it waits for the next time; a power cut until then costs what was not synced.
            Err(error) if error.io_kind() == Some(ErrorKind::StorageFull) => {}
            done => done?,
        }
        Ok(report)
    }

    /// Removes everything that nothing reaches, such as after the last name of an image is gone.
    pub fn collect(&self) -> Result<PruneReport> {
        let _one_at_a_time = self.lock(LOCK)?;
        self.remove(&Choice::default(), &PruneOptions::default())
    }

    /// Removes an image with all its names, and what only it reached; `None` when there is no such image. Layers that the
    /// cache knows stay.
    pub fn remove_image(&self, digest: &Digest) -> Result<Option<PruneReport>> {
        let _one_at_a_time = self.lock(LOCK)?;
        let inventory = Inventory::read(self)?;
        if !inventory.images.contains_key(digest) {
            return Ok(None);
        }
        let choice = Choice {
            images: BTreeSet::from([*digest]),
            records: BTreeMap::new(),
        };
        let everything = PruneOptions {
            images: PruneImages::All,
            ..PruneOptions::default()
        };
        self.remove(&choice, &everything).map(Some)
    }

    /// Closes the gate, looks again, takes away what nothing reaches, opens the gate, and deletes.
    fn remove(&self, choice: &Choice, options: &PruneOptions) -> Result<PruneReport> {
        self.sweep()?;
        let mut report = PruneReport::default();
        let trash = {
            let _closed = self.inner.gate.close()?;
            let inventory = Inventory::read(self)?;
            let (images, kept_images) = split_images(&inventory, choice, options);
            let (records, kept_records) = split_records(&inventory, choice);
            // Names first: were this process killed on the way, nothing that is still named would lack anything.
            for (digest, image) in images {
                for tag in &image.tags {
                    remove_if_there(&self.tag_path(tag))?;
                }
                remove_if_there(&self.image_path(digest))?;
                report.images.push(*digest);
                report.tags.extend(image.tags.iter().cloned());
            }
            for record in records {
                remove_if_there(&record.path)?;
                report.records += 1;
            }
            let reached = inventory.reached(kept_images.into_iter(), kept_records.into_iter());
            self.take_away(
                inventory.things().filter(|thing| !reached.contains(thing)),
                &mut report,
            )?
        };
        self.remove_stale_locks()?;
        report.bytes += self.remove_forgotten_downloads()?;
        for path in trash {
            report.bytes += remove_counted(&path).map_err(Error::io("delete", &path))?;
        }
        Ok(report)
    }

    /// Moves things away; gives where they are now.
    fn take_away(
        &self,
        things: impl Iterator<Item = Held>,
        report: &mut PruneReport,
    ) -> Result<Vec<PathBuf>> {
        let mut trash = Vec::new();
        for thing in things {
            let Some(path) = self.move_to_trash(&self.held_path(&thing))? else {
                continue;
            };
            trash.push(path);
            match thing {
                Held::Blob(_) => report.blobs += 1,
                Held::Layer(_) | Held::Chain(_) => report.directories += 1,
            }
        }
        Ok(trash)
    }

    /// Lock files that nobody holds. The gate stays.
    fn remove_stale_locks(&self) -> Result<()> {
        for path in entries(&self.root().join("locks"))? {
            let name = crate::store::layout::file_name(&path);
            if name == "gate" || name == LOCK {
                continue;
            }
            if let Ok(Some(_guard)) = self.try_lock(name) {
                remove_if_there(&path)?;
            }
        }
        Ok(())
    }
}

fn choose(inventory: &Inventory, options: &PruneOptions) -> Choice {
    let images = inventory
        .images
        .iter()
        .filter(|(digest, image)| may_go(inventory, digest, image, options));
    let old = |record: &RecordEntry| {
        options
            .before
            .is_none_or(|before| record.used.0 < i64::try_from(before).unwrap_or(i64::MAX))
    };
    // A record whose layer is gone is never found again.
    let lost = |record: &RecordEntry| {
        let mut layers = record.layers.iter();
        layers.any(|layer| !inventory.directories.contains_key(&Held::Layer(*layer)))
    };
    let records = inventory
        .records
        .iter()
        .filter(|record| lost(record) || options.records && old(record));
    Choice {
        images: images.map(|(digest, _)| *digest).collect(),
        records: records
            .map(|record| (record.path.clone(), record.used))
            .collect(),
    }
}

/// Whether an image is one that the options choose, and nobody uses it.
fn may_go(
    inventory: &Inventory,
    digest: &Digest,
    image: &ImageEntry,
    options: &PruneOptions,
) -> bool {
    let wanted = match options.images {
        PruneImages::None => false,
        PruneImages::Dangling => image.tags.is_empty(),
        PruneImages::All => true,
    };
    let itself = Held::Blob(*digest);
    wanted
        && options.before.is_none_or(|before| image.created < before)
        && options.labels.iter().all(|filter| filter.accepts(image))
        && !inventory.leased.contains(&itself)
        && !inventory.pinned.contains(&itself)
}

impl LabelFilter {
    fn accepts(&self, image: &ImageEntry) -> bool {
        let found = image.labels.get(&self.name);
        let matches =
            found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found));
        matches != self.negated
    }
}

/// Adds the least recently used records until the rest fits. What remains shrinks with each, so the number is searched for.
fn choose_until(inventory: &Inventory, choice: &mut Choice, sizes: &Sizes, limit: u64) {
    let kept: Vec<&ImageEntry> = kept_images(inventory, choice);
    let mut records: Vec<&RecordEntry> = inventory
        .records
        .iter()
        .filter(|record| !choice.records.contains_key(&record.path))
        .collect();
    records.sort_by_key(|record| record.used);
    let size_without = |dropped: usize| {
        let reached = inventory.reached(kept.iter().copied(), records[dropped..].iter().copied());
        sizes.of_things(&reached)
    };
    let (mut low, mut high) = (0, records.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if size_without(middle) <= limit {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    choice.records.extend(
        records[..low]
            .iter()
            .map(|record| (record.path.clone(), record.used)),
    );
}

fn kept_images<'a>(inventory: &'a Inventory, choice: &Choice) -> Vec<&'a ImageEntry> {
    let kept = inventory
        .images
        .iter()
        .filter(|(digest, _)| !choice.images.contains(digest));
    kept.map(|(_, image)| image).collect()
}

/// What would go, from sizes alone.
fn forecast(inventory: &Inventory, choice: &Choice, sizes: &Sizes) -> PruneReport {
    let kept_records = inventory
        .records
        .iter()
        .filter(|record| !choice.records.contains_key(&record.path));
    let reached = inventory.reached(kept_images(inventory, choice).into_iter(), kept_records);
    let all: HashSet<Held> = inventory.things().collect();
    let gone = || all.iter().filter(|thing| !reached.contains(thing));
    let blobs = gone()
        .filter(|thing| matches!(thing, Held::Blob(_)))
        .count();
    let tags = choice
        .images
        .iter()
        .filter_map(|digest| inventory.images.get(digest))
        .flat_map(|image| &image.tags);
    PruneReport {
        images: choice.images.iter().copied().collect(),
        tags: tags.cloned().collect(),
        records: choice.records.len(),
        directories: gone().count() - blobs,
        blobs,
        bytes: sizes
            .of_things(&all)
            .saturating_sub(sizes.of_things(&reached)),
    }
}

/// The images that go and those that stay, as things are now: one that got a name or a user since it was chosen stays.
fn split_images<'a>(
    inventory: &'a Inventory,
    choice: &Choice,
    options: &PruneOptions,
) -> (Vec<(&'a Digest, &'a ImageEntry)>, Vec<&'a ImageEntry>) {
    let (gone, kept): (Vec<_>, Vec<_>) = inventory.images.iter().partition(|(digest, image)| {
        choice.images.contains(digest) && may_go(inventory, digest, image, options)
    });
    (gone, kept.into_iter().map(|(_, image)| image).collect())
}

/// The records that go and those that stay: one that was used since it was chosen stays.
fn split_records<'a>(
    inventory: &'a Inventory,
    choice: &Choice,
) -> (Vec<&'a RecordEntry>, Vec<&'a RecordEntry>) {
    inventory
        .records
        .iter()
        .partition(|record| choice.records.get(&record.path) == Some(&record.used))
}
