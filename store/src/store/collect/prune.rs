//! Removing images and cache records by choice, and all content that nothing reaches any more.

mod cap;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::store::collect::inventory::{ImageEntry, Inventory, RecordEntry};
use crate::store::collect::usage::Sizes;
use crate::store::layout::entries;
use crate::store::lease::Held;
use crate::store::removal::remove_counted;
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

/// Which cache records a prune removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PruneRecords {
    /// None.
    #[default]
    None,
    /// Those whose layers belong to no image that stays.
    Unshared,
    /// All.
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
    /// Which cache records.
    pub records: PruneRecords,
    /// Only images that came here, and records and sources last used, before this: seconds since 1970.
    pub before: Option<u64>,
    /// Whether fetched sources that nobody uses go.
    pub sources: bool,
    /// Removes no more than it takes for images, cache and sources to fit into this many bytes. Images without a name go first if
    /// images were asked for, then sources, least recently used first, then compressed layers that a registry is known to hold
    /// (the unpacked layers stay, so nothing stops working), then cache records, least recently used first, and then, with
    /// [`PruneImages::All`], images with names, oldest first.
    pub keep_bytes: Option<u64>,
    /// Counts only what the cache alone keeps against `keep_bytes`.
    pub only_cache: bool,
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
    /// How many fetched sources.
    pub sources: usize,
    /// How many bytes became free on disk.
    pub bytes: u64,
}

/// The images and records chosen to go.
#[derive(Debug, Default)]
struct Choice {
    images: BTreeSet<Digest>,
    /// With the time of last use that they were chosen for.
    records: BTreeMap<PathBuf, (i64, i64)>,
    /// Compressed layers that go although they are reached: they can be fetched again.
    blobs: BTreeSet<Digest>,
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
        let mut sources = match options.sources {
            true => self.idle_sources(options.before)?,
            false => Vec::new(),
        };
        if let (Some(limit), Some(sizes)) = (options.keep_bytes, &sizes) {
            let all: u64 = sources.iter().map(|source| source.bytes).sum();
            let rest = cap::present(&inventory, &choice, sizes, options);
            let kept = cap::choose_sources(&mut sources, all, limit.saturating_sub(rest));
            let limit = limit.saturating_sub(kept);
            cap::choose(&inventory, &mut choice, sizes, options, limit);
        }
        if let Some(sizes) = sizes.filter(|_| options.dry_run) {
            let mut report = forecast(&inventory, &choice, &sizes);
            report.sources = sources.len();
            report.bytes += sources.iter().map(|source| source.bytes).sum::<u64>();
            return Ok(report);
        }
        let mut report = self.remove(&choice, options)?;
        report.sources = sources.len();
        report.bytes += self.remove_sources(sources)?;
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
            ..Choice::default()
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
            let mut reached = inventory.reached(kept_images.into_iter(), kept_records.into_iter());
            let in_use = |blob: &Held| inventory.leased.contains(blob);
            let dropped = choice.blobs.iter().map(|blob| Held::Blob(*blob));
            dropped.filter(|blob| !in_use(blob)).for_each(|blob| {
                reached.remove(&blob);
            });
            for damaged in &inventory.damaged {
                remove_if_there(damaged)?;
            }
            for origin in inventory.idle_origins(|thing| reached.contains(thing)) {
                remove_if_there(&origin.path)?;
            }
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

/// What goes in any case. Under a cap that is only what is of no use; the rest goes as far as it must.
fn choose(inventory: &Inventory, options: &PruneOptions) -> Choice {
    let capped = options.keep_bytes.is_some();
    let images = inventory.images.iter().filter(|(digest, image)| {
        may_go(inventory, digest, image, options) && (!capped || image.tags.is_empty())
    });
    let images: BTreeSet<Digest> = images.map(|(digest, _)| *digest).collect();
    let shared: HashSet<&Held> = inventory
        .images
        .iter()
        .filter(|(digest, _)| !images.contains(*digest))
        .flat_map(|(_, image)| &image.things)
        .collect();
    let of_layers = |record: &RecordEntry, meets: &dyn Fn(&Held) -> bool| {
        let mut layers = record.layers.iter().map(|layer| Held::Layer(*layer));
        layers.any(|layer| meets(&layer))
    };
    // A record whose layer is gone is never found again.
    let lost =
        |record: &RecordEntry| of_layers(record, &|it| !inventory.directories.contains_key(it));
    let wanted = |record: &RecordEntry| match options.records {
        PruneRecords::None => false,
        PruneRecords::Unshared => {
            !record.layers.is_empty() && !of_layers(record, &|it| shared.contains(it))
        }
        PruneRecords::All => true,
    };
    let records = inventory
        .records
        .iter()
        .filter(|record| lost(record) || !capped && wanted(record) && is_old(record, options));
    Choice {
        images,
        records: records
            .map(|record| (record.path.clone(), record.used))
            .collect(),
        ..Choice::default()
    }
}

fn is_old(record: &RecordEntry, options: &PruneOptions) -> bool {
    options
        .before
        .is_none_or(|before| record.used.0 < i64::try_from(before).unwrap_or(i64::MAX))
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
        && options
            .labels
            .iter()
            .all(|filter| filter.accepts(&image.labels))
        && !inventory.leased.contains(&itself)
        && !inventory.pinned.contains(&itself)
}

impl LabelFilter {
    /// Whether something with these labels is chosen.
    #[must_use]
    pub fn accepts(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.name);
        let matches =
            found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found));
        matches != self.negated
    }
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
    let mut reached = inventory.reached(kept_images(inventory, choice).into_iter(), kept_records);
    for blob in &choice.blobs {
        reached.remove(&Held::Blob(*blob));
    }
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
        sources: 0,
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
