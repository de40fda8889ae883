//! What the store takes on disk, and for what.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::store::collect::inventory::Inventory;
use crate::store::collect::size::{TreeSize, Union};
use crate::store::index::SizeIndex;
use crate::store::layout::{entries, file_name};
use crate::store::lease::Held;
use crate::store::source::SOURCES;
use crate::{Digest, Error, Result, Store};

/// Directories whose content is counted thing by thing.
const CONTENT: &[&str] = &["blobs", "layers", "chains"];

/// Some of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// How many images, records or directories.
    pub count: usize,
    /// What they take, not counting what a share before this one takes already.
    pub bytes: u64,
    /// How much of it a prune of this share would free.
    pub reclaimable: u64,
}

/// One image's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The manifest or index.
    pub digest: Digest,
    /// What it takes in all.
    pub bytes: u64,
    /// What no other image takes.
    pub unique: u64,
}

/// What the store takes on disk. The parts add up to the total, and the total is what `du` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskUsage {
    /// Everything below the root.
    pub total: u64,
    /// Images, and what pins keep.
    pub images: Share,
    /// Cache records and the layers that only they keep.
    pub cache: Share,
    /// Content that nothing reaches, and that live processes use.
    pub loose: Share,
    /// Directories of the runtime and whatever else is below the root, by name: containers, volumes, ...
    pub others: BTreeMap<String, Share>,
    /// Image by image.
    pub per_image: Vec<ImageUsage>,
}

impl Store {
    /// Measures the store. Trees that were measured before are not walked again.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let inventory = Inventory::read(self)?;
        let sizes = Sizes::of(self, &inventory)?;
        let mut usage = DiskUsage {
            others: self.others()?,
            ..DiskUsage::default()
        };
        let mut tally = Tally::new(&sizes);
        let images: HashSet<Held> = inventory
            .images
            .values()
            .flat_map(|image| image.things.iter().copied())
            .collect();
        let records = inventory.records.iter().flat_map(|record| &record.layers);
        let cached: HashSet<Held> = records.map(|layer| Held::Layer(*layer)).collect();
        let pinned: HashSet<Held> = inventory.pinned.iter().copied().collect();
        usage.images = Share {
            count: identities(&inventory).len(),
            bytes: tally.add(&with_needs(&inventory, images)),
            reclaimable: 0,
        };
        usage.images.bytes += tally.add(&with_needs(&inventory, pinned));
        usage.cache = Share {
            count: inventory.records.len(),
            bytes: tally.add(&with_needs(&inventory, cached)),
            reclaimable: 0,
        };
        let rest: HashSet<Held> = inventory.things().collect();
        let before = tally.count();
        usage.loose.bytes = tally.add(&rest);
        usage.loose.count = tally.count() - before;
        usage.per_image = per_image(&inventory, &sizes);
        reclaimable(&inventory, &sizes, &mut usage);
        let parts = usage.images.bytes + usage.cache.bytes + usage.loose.bytes;
        usage.total = parts + usage.others.values().map(|share| share.bytes).sum::<u64>();
        Ok(usage)
    }

    /// Everything that is not content, by the names below the root; files there and bare directories under `store`.
    fn others(&self) -> Result<BTreeMap<String, Share>> {
        let mut others = BTreeMap::new();
        let mut own = blocks(self.root())?;
        for path in entries(self.root())? {
            let name = file_name(&path).to_owned();
            if CONTENT.contains(&name.as_str()) {
                own += blocks(&path)?;
                for inner in entries(&path)?.iter().filter(|_| name == "blobs") {
                    own += blocks(inner)?;
                }
                continue;
            }
            let size = TreeSize::of(&path)
                .map_err(Error::io("measure", &path))?
                .total();
            if path.is_dir() && !matches!(name.as_str(), "refs" | "records" | "locks") {
                let (count, reclaimable) = match name.as_str() {
                    SOURCES => {
                        let idle = self.idle_sources(None)?;
                        let bytes = idle.iter().map(|source| source.bytes).sum();
                        (self.sources()?.len(), bytes)
                    }
                    _ => (entries(&path)?.len(), 0),
                };
                others.insert(
                    name,
                    Share {
                        count,
                        bytes: size,
                        reclaimable,
                    },
                );
            } else {
                own += size;
            }
        }
        others.insert(
            "store".to_owned(),
            Share {
                count: 1,
                bytes: own,
                reclaimable: 0,
            },
        );
        Ok(others)
    }
}

/// What one file or directory takes by itself.
fn blocks(path: &std::path::Path) -> Result<u64> {
    Ok(fs::symlink_metadata(path)
        .map_err(Error::io("examine", path))?
        .blocks()
        * 512)
}

/// Layers bring the compressed content made of them, and the chains that stay as long as they do.
fn with_needs(inventory: &Inventory, mut things: HashSet<Held>) -> HashSet<Held> {
    let needs = things
        .iter()
        .filter_map(|thing| inventory.directories.get(thing))
        .flatten()
        .copied();
    let needs: Vec<Held> = needs.collect();
    things.extend(needs);
    inventory.reach_chains(&mut things);
    things
}

/// The images by identity: several manifests of one image are one.
fn identities(inventory: &Inventory) -> HashSet<Digest> {
    inventory
        .images
        .values()
        .map(|image| image.identity)
        .collect()
}

fn per_image(inventory: &Inventory, sizes: &Sizes) -> Vec<ImageUsage> {
    let mut users: HashMap<Held, HashSet<Digest>> = HashMap::new();
    let sets: Vec<(Digest, HashSet<Held>)> = inventory
        .images
        .iter()
        .map(|(digest, image)| (*digest, image.things.iter().copied().collect()))
        .collect();
    for image in inventory.images.values() {
        for thing in &image.things {
            users.entry(*thing).or_default().insert(image.identity);
        }
    }
    let usage = |(digest, things): &(Digest, HashSet<Held>)| {
        let alone: HashSet<Held> = things
            .iter()
            .filter(|thing| users[*thing].len() == 1)
            .copied()
            .collect();
        ImageUsage {
            digest: *digest,
            bytes: sizes.of_things(things),
            unique: sizes.of_things(&alone),
        }
    };
    sets.iter().map(usage).collect()
}

/// What each share would free if it alone were pruned.
fn reclaimable(inventory: &Inventory, sizes: &Sizes, usage: &mut DiskUsage) {
    let images = || inventory.images.values();
    let records = || inventory.records.iter();
    let used = |digest: &Digest| {
        let itself = Held::Blob(*digest);
        inventory.leased.contains(&itself) || inventory.pinned.contains(&itself)
    };
    let needed = || {
        inventory
            .images
            .iter()
            .filter(|(digest, _)| used(digest))
            .map(|(_, image)| image)
    };
    let reached = sizes.of_things(&inventory.reached(images(), records()));
    let without = |things: HashSet<Held>| reached.saturating_sub(sizes.of_things(&things));
    usage.images.reclaimable = without(inventory.reached(needed(), records()));
    usage.cache.reclaimable = without(inventory.reached(images(), std::iter::empty()));
    let all = sizes.of_things(&inventory.things().collect());
    usage.loose.reclaimable = all.saturating_sub(reached);
}

/// The sizes of all content.
#[derive(Debug)]
pub(crate) struct Sizes {
    blobs: BTreeMap<Digest, u64>,
    trees: HashMap<Held, TreeSize>,
}

impl Sizes {
    pub(crate) fn of(store: &Store, inventory: &Inventory) -> Result<Self> {
        let mut index = SizeIndex::open(store)?;
        let mut trees = HashMap::new();
        for thing in inventory.directories.keys() {
            if let Some(size) = index.tree(&store.held_path(thing))? {
                trees.insert(*thing, size);
            }
        }
        let paths: Vec<PathBuf> = inventory
            .directories
            .keys()
            .map(|thing| store.held_path(thing))
            .collect();
        index.save(paths.into_iter());
        Ok(Self {
            blobs: inventory.blobs.clone(),
            trees,
        })
    }

    /// What these take together; what is not there takes nothing.
    pub(crate) fn of_things(&self, things: &HashSet<Held>) -> u64 {
        Tally::new(self).add(things)
    }
}

/// Adds sets of things up, each thing and each file once.
struct Tally<'a> {
    sizes: &'a Sizes,
    seen: HashSet<Held>,
    files: Union,
    blobs: u64,
}

impl<'a> Tally<'a> {
    fn new(sizes: &'a Sizes) -> Self {
        Self {
            sizes,
            seen: HashSet::new(),
            files: Union::default(),
            blobs: 0,
        }
    }

    /// Adds things; gives how many bytes they brought.
    fn add(&mut self, things: &HashSet<Held>) -> u64 {
        let before = self.files.bytes() + self.blobs;
        for thing in things {
            match thing {
                Held::Blob(digest) => {
                    if let Some(bytes) = self.sizes.blobs.get(digest)
                        && self.seen.insert(*thing)
                    {
                        self.blobs += bytes;
                    }
                }
                Held::Layer(_) | Held::Chain(_) => {
                    if let Some(tree) = self.sizes.trees.get(thing)
                        && self.seen.insert(*thing)
                    {
                        self.files.add(tree);
                    }
                }
            }
        }
        self.files.bytes() + self.blobs - before
    }

    fn count(&self) -> usize {
        self.seen.len()
    }
}
