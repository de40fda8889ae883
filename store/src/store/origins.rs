//! Where content was seen: which repositories of which registries are known to hold a blob.
//!
//! Pull and push write it down. A push finds blobs there that its registry can take over from another repository, a prune
//! under a byte cap drops first what can be fetched again, and a repair fetches from there. Hints only: a wrong one costs a
//! try. They are kept beside the cache records, are no part of them, and go when neither their blob nor a layer that was
//! made of it is left.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{CacheKey, Digest, Reference, Result, Store};

/// The kind of these records.
pub(crate) const KIND: &str = "origin";

/// Repositories kept for one blob and registry: the newest is the likeliest to last.
const MOST: usize = 4;

/// What is known of one blob and one registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) blob: Digest,
    pub(crate) registry: String,
    /// Newest first.
    pub(crate) paths: Vec<String>,
}

fn key(blob: &Digest, registry: &str) -> CacheKey {
    CacheKey::of(format!("{blob} {registry}").as_bytes())
}

impl Store {
    /// Writes down that a repository holds these blobs.
    pub fn note_origin(
        &self,
        blobs: impl IntoIterator<Item = Digest>,
        repository: &Reference,
    ) -> Result<()> {
        let registry = repository.domain();
        for blob in blobs {
            let mut paths = self.origins_in(&blob, registry)?;
            if paths.first().is_some_and(|path| path == repository.path()) {
                continue;
            }
            paths.retain(|path| path != repository.path());
            paths.insert(0, repository.path().to_owned());
            paths.truncate(MOST);
            let origin = Origin {
                blob,
                registry: registry.to_owned(),
                paths,
            };
            self.put_record(KIND, &key(&blob, registry), &[], &origin)?;
        }
        Ok(())
    }

    /// The paths of a registry's repositories that held a blob when it was last seen there, newest first.
    pub fn origins_in(&self, blob: &Digest, registry: &str) -> Result<Vec<String>> {
        Ok(self
            .record::<Origin>(KIND, &key(blob, registry))?
            .map(|record| record.body.paths)
            .unwrap_or_default())
    }

    /// All blobs that were seen somewhere, with the repositories.
    pub fn origins(&self) -> Result<HashMap<Digest, Vec<Reference>>> {
        let mut origins: HashMap<Digest, Vec<Reference>> = HashMap::new();
        for Origin {
            blob,
            registry,
            paths,
        } in self.records::<Origin>(KIND)?.into_iter().map(|it| it.body)
        {
            let names = paths.iter().map(|path| format!("{registry}/{path}"));
            let repositories = names.filter_map(|name| name.parse::<Reference>().ok());
            origins.entry(blob).or_default().extend(repositories);
        }
        Ok(origins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreOptions;

    #[test]
    fn the_newest_repositories_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let blob = Digest::sha256(b"blob");
        let name = |name: &str| name.parse::<Reference>().unwrap();
        for number in 0..6 {
            let repository = name(&format!("one.example/app/{number}"));
            store.note_origin([blob], &repository).unwrap();
        }
        store
            .note_origin([blob], &name("one.example/app/3"))
            .unwrap();
        store.note_origin([blob], &name("two.example/x")).unwrap();
        let paths = store.origins_in(&blob, "one.example").unwrap();
        assert_eq!(paths, ["app/3", "app/5", "app/4", "app/2"]);
        assert_eq!(store.origins().unwrap()[&blob].len(), 5);
        assert_eq!(store.origins_in(&blob, "none.example").unwrap().len(), 0);
    }
}
