//! Taking away what is damaged, and making it again.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use super::Damage;
use crate::layer::{LayerRecord, Limits, Origin, Result};
use crate::store::collect::inventory::Inventory;
use crate::store::document::{Document, parse_document};
use crate::store::lease::Held;
use crate::store::tag::remove_if_there;
use crate::{Compression, Descriptor, DiffId, Digest, ImageConfig, Manifest, Reference, Store};

/// Names of images that a message gives.
const NAMED: usize = 3;

/// What has become of something damaged.
#[derive(Debug, Clone, PartialEq)]
pub enum Remedy {
    /// It is whole again, or nothing needs it; how it was done.
    Done(&'static str),
    /// It has to be fetched from one of these repositories.
    Fetch(Box<Wanted>),
    /// It cannot be had again from here; what can be done.
    Lost(String),
}

/// Something to fetch.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What it is.
    pub content: Descriptor,
    /// The layer that it is unpacked to.
    pub layer: Option<DiffId>,
    /// Whether it is a manifest or an index, which registries keep apart.
    pub is_document: bool,
    /// Who is known to have it.
    pub repositories: Vec<Reference>,
}

/// What the images of the store say about contents and layers.
#[derive(Default)]
struct Known {
    contents: HashMap<Digest, Descriptor>,
    layers: HashMap<DiffId, Vec<Descriptor>>,
    documents: BTreeSet<Digest>,
    /// Blobs of received layers.
    sources: BTreeSet<Digest>,
    users: HashMap<Held, BTreeSet<Digest>>,
    names: HashMap<Digest, Vec<Reference>>,
    origins: HashMap<Digest, Vec<Reference>>,
}

impl Store {
    /// Removes what is damaged, and makes it again from what is here; says of each what is to be done still. To be called with
    /// all that [`Store::verify`] found. Nothing that a running container is mounted on may be among it.
    pub fn mend(&self, damage: &[Damage]) -> Result<Vec<Remedy>> {
        let known = Known::read(self)?;
        let records: Vec<Option<LayerRecord>> =
            damage.iter().map(|it| self.record_before(it)).collect();
        for damaged in damage {
            self.take_damaged(damaged)?;
        }
        let mut remedies = Vec::new();
        for (damaged, record) in damage.iter().zip(records) {
            remedies.push(self.remedy(damaged, record, &known)?);
        }
        Ok(remedies)
    }

    /// What a damaged layer's own record says, while it is there.
    fn record_before(&self, damage: &Damage) -> Option<LayerRecord> {
        match damage {
            Damage::Layer { diff_id, .. } => self.layer_entry(diff_id).ok()?.ok()?,
            _ => None,
        }
    }

    fn take_damaged(&self, damage: &Damage) -> Result<()> {
        match damage {
            Damage::File { path, .. } => {
                let path = self.root().join(path);
                match path.parent() {
                    // The entry of a chain: without it the directory is of no use.
                    Some(chain) if path.starts_with(self.root().join("chains")) => {
                        self.discard_path(chain)?;
                    }
                    _ => remove_if_there(&path)?,
                }
            }
            Damage::Content { digest, .. } => self.discard_blob(digest)?,
            Damage::Layer { diff_id, .. } => {
                self.discard_chains(Held::Layer(*diff_id))?;
                self.discard(&Held::Layer(*diff_id))?;
            }
            Damage::MissingLayer { .. } | Damage::MissingContent { .. } => {}
        }
        Ok(())
    }

    /// Chains that a layer is part of hold hard links to its files.
    fn discard_chains(&self, layer: Held) -> Result<()> {
        let inventory = Inventory::read(self)?;
        let mut gone = BTreeSet::from([layer]);
        loop {
            let next: Vec<Held> = inventory
                .directories
                .iter()
                .filter(|(thing, needs)| {
                    matches!(thing, Held::Chain(_))
                        && !gone.contains(thing)
                        && needs.iter().any(|needed| gone.contains(needed))
                })
                .map(|(thing, _)| *thing)
                .collect();
            if next.is_empty() {
                break;
            }
            gone.extend(next);
        }
        for chain in gone.iter().filter(|thing| **thing != layer) {
            self.discard(chain)?;
        }
        Ok(())
    }

    fn remedy(
        &self,
        damage: &Damage,
        record: Option<LayerRecord>,
        known: &Known,
    ) -> Result<Remedy> {
        match damage {
            Damage::File { path, .. } if path.starts_with("records") => Ok(Remedy::Done(
                "removed: a cache record is written again by the next build",
            )),
            Damage::File { path, .. } if path.starts_with("chains") => {
                Ok(Remedy::Done("removed: it is made again when it is used"))
            }
            Damage::File { .. } => Ok(Remedy::Lost(
                "what it said is lost: tag, pull or build the image again".to_owned(),
            )),
            Damage::Content { digest, .. } => {
                if self.compress_again(digest)? {
                    return Ok(Remedy::Done("compressed again from its layer"));
                }
                Ok(known.content(digest))
            }
            Damage::MissingContent { digest, .. } => Ok(known.content(digest)),
            Damage::Layer { diff_id, .. } | Damage::MissingLayer { diff_id, .. } => {
                let mut blobs = record.map(|record| record.blobs).unwrap_or_default();
                blobs.extend(known.layers.get(diff_id).into_iter().flatten().cloned());
                if self.unpack_from(diff_id, &blobs)? {
                    return Ok(Remedy::Done("unpacked again from its compressed form"));
                }
                Ok(known.layer(diff_id, blobs))
            }
        }
    }

    /// Makes the blob of a layer that was built here again; true when it came out the same.
    fn compress_again(&self, digest: &Digest) -> Result<bool> {
        let inventory = Inventory::read(self)?;
        for (thing, needs) in &inventory.directories {
            let Held::Layer(diff_id) = thing else {
                continue;
            };
            if !needs.contains(&Held::Blob(*digest)) {
                continue;
            }
            let Some(record) = self.layer(diff_id)? else {
                continue;
            };
            let Some(blob) = record.blobs.iter().find(|blob| blob.digest == *digest) else {
                continue;
            };
            let candidates = [Compression::GZIP, Compression::ZSTD, Compression::None];
            let compression = candidates
                .into_iter()
                .find(|compression| compression.media_type() == blob.media_type);
            let (Origin::Written, Some(compression)) = (record.origin, compression) else {
                continue;
            };
            let files = self.layer_files(diff_id);
            let written = self.archive(&files, &record, Some((compression, self.blob_writer()?)));
            // A damaged layer is damage of its own.
            if written.is_ok_and(|it| it.blob.is_some_and(|(made, _)| made == *digest)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Unpacks a layer from one of its blobs, if a whole one is here.
    fn unpack_from(&self, diff_id: &DiffId, blobs: &[Descriptor]) -> Result<bool> {
        for blob in blobs {
            if self.blob_size(&blob.digest)? != Some(blob.size) {
                continue;
            }
            let mut file = self.open_blob(&blob.digest)?;
            match self.ingest_layer(&mut file, blob, diff_id, &Limits::default()) {
                Ok(_) => return Ok(true),
                Err(error) if error.io_kind().is_some() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(false)
    }
}

impl Known {
    fn read(store: &Store) -> Result<Self> {
        let inventory = Inventory::read(store)?;
        let mut known = Self {
            origins: store.origins()?,
            ..Self::default()
        };
        for (image, entry) in &inventory.images {
            known.names.insert(*image, entry.tags.clone());
            for thing in &entry.things {
                known.users.entry(*thing).or_default().insert(*image);
            }
            known.document(store, image);
        }
        for thing in inventory.directories.keys() {
            let Held::Layer(diff_id) = thing else {
                continue;
            };
            // A received layer can be checked only against its blob.
            if let Ok(Some(record)) = store.layer_entry(diff_id)?
                && record.origin == Origin::Received
            {
                known
                    .sources
                    .extend(record.blobs.iter().map(|it| it.digest));
                let blobs = record.blobs.into_iter().map(|blob| (blob.digest, blob));
                known.contents.extend(blobs);
            }
        }
        Ok(known)
    }

    /// Takes in what a manifest or index says; one that cannot be read says nothing.
    fn document(&mut self, store: &Store, digest: &Digest) {
        if !self.documents.insert(*digest) {
            return;
        }
        let bytes = fs::read(store.blob_path(digest)).unwrap_or_default();
        match parse_document(digest, &bytes) {
            Ok(Document::Index(index)) => {
                for child in &index.manifests {
                    self.contents.insert(child.digest, child.clone());
                    self.document(store, &child.digest);
                }
            }
            Ok(Document::Manifest(manifest)) => self.manifest(store, &manifest),
            Err(_) => {}
        }
    }

    fn manifest(&mut self, store: &Store, manifest: &Manifest) {
        for content in manifest.layers.iter().chain([&manifest.config]) {
            self.contents.insert(content.digest, content.clone());
        }
        let bytes = fs::read(store.blob_path(&manifest.config.digest)).unwrap_or_default();
        if let Ok(config) = serde_json::from_slice::<ImageConfig>(&bytes) {
            for (diff_id, layer) in config.diff_ids().iter().zip(&manifest.layers) {
                self.layers.entry(*diff_id).or_default().push(layer.clone());
            }
        }
    }

    fn content(&self, digest: &Digest) -> Remedy {
        let users = self.users.get(&Held::Blob(*digest));
        if users.is_none_or(BTreeSet::is_empty) && !self.sources.contains(digest) {
            return Remedy::Done("removed: nothing needs it");
        }
        let content = match self.contents.get(digest) {
            Some(content) => content.clone(),
            // The root of an image, which nothing else describes.
            None => Descriptor::new(crate::media_type::OCI_MANIFEST, *digest, 0),
        };
        self.fetch(Wanted {
            repositories: self.repositories(&[*digest], users),
            is_document: self.documents.contains(digest),
            content,
            layer: None,
        })
    }

    fn layer(&self, diff_id: &DiffId, blobs: Vec<Descriptor>) -> Remedy {
        let users = self.users.get(&Held::Layer(*diff_id));
        let digests: Vec<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        let repositories = self.repositories(&digests, users);
        let is_known = |blob: &&Descriptor| self.origins.contains_key(&blob.digest);
        let Some(content) = blobs.iter().find(is_known).or(blobs.first()).cloned() else {
            return Remedy::Done("removed: the build step that made it runs again");
        };
        if users.is_none_or(BTreeSet::is_empty) && repositories.is_empty() {
            return Remedy::Done("removed: the build step that made it runs again");
        }
        let wanted = Wanted {
            content,
            layer: Some(*diff_id),
            is_document: false,
            repositories,
        };
        match users {
            Some(users) if wanted.repositories.is_empty() => self.lost(users),
            _ => self.fetch(wanted),
        }
    }

    fn fetch(&self, wanted: Wanted) -> Remedy {
        if wanted.repositories.is_empty() {
            let users = self.users.get(&Held::Blob(wanted.content.digest));
            return self.lost(&users.cloned().unwrap_or_default());
        }
        Remedy::Fetch(Box::new(wanted))
    }

    /// Where one of these contents was seen, or an image that they belong to.
    fn repositories(
        &self,
        contents: &[Digest],
        users: Option<&BTreeSet<Digest>>,
    ) -> Vec<Reference> {
        let mut repositories: Vec<Reference> = Vec::new();
        let all = contents.iter().chain(users.into_iter().flatten());
        for repository in all.filter_map(|digest| self.origins.get(digest)).flatten() {
            if !repositories.contains(repository) {
                repositories.push(repository.clone());
            }
        }
        repositories
    }

    fn lost(&self, users: &BTreeSet<Digest>) -> Remedy {
        let names = users
            .iter()
            .filter_map(|image| self.names.get(image)?.first());
        let names: Vec<String> = names.map(Reference::familiar).take(NAMED).collect();
        Remedy::Lost(if names.is_empty() {
            "no registry is known to have it, and its image has no name: `kiln prune` removes that"
                .to_owned()
        } else {
            format!(
                "no registry is known to have it: build or pull {} again",
                names.join(", ")
            )
        })
    }
}
