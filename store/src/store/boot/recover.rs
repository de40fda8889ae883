//! What the first process of a new boot does to the store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{BootId, Boots, Stamp};
use crate::store::blob::hash_file;
use crate::store::image::ImageFile;
use crate::store::layout::{entries, stored_blobs};
use crate::store::shelf::ENTRY_FILE;
use crate::store::tag::{TagFile, now, remove_if_there};
use crate::{Digest, Error, Hasher, Result, Store};

/// Content older than the last sync by more than this is trusted: times of files are coarse, and clocks are set.
const CLOCK_SLACK: u64 = 600;

/// What every small file has.
#[derive(Deserialize)]
struct Stamped {
    #[serde(flatten)]
    stamp: Stamp,
}

/// Decides what to trust.
struct Trust<'a> {
    last: Option<&'a Boots>,
    current: &'a BootId,
}

impl Trust<'_> {
    /// What the last boot stamped before its last sync, what an earlier one stamped (it survived a recovery), and what this
    /// one stamped. When it is not known which boot was last, only the latter.
    fn stamp(&self, stamp: &Stamp) -> bool {
        match self.last {
            _ if stamp.boot == *self.current => true,
            Some(last) if stamp.boot == last.boot => stamp.at <= last.synced_until,
            Some(_) => true,
            None => false,
        }
    }

    /// Reads the stamp of a small file; one that cannot be read is not trusted.
    fn file(&self, path: &Path) -> bool {
        let read = || serde_json::from_slice::<Stamped>(&fs::read(path).ok()?).ok();
        read().is_some_and(|file| self.stamp(&file.stamp))
    }

    /// Whether content of this time was on disk at the last sync.
    fn time(&self, seconds: i64) -> bool {
        let seconds = seconds.unsigned_abs();
        // A sync in the future means that the clock was set back since: then times say nothing.
        self.last.is_some_and(|last| {
            seconds + CLOCK_SLACK < last.synced_clock && last.synced_clock <= now()
        })
    }
}

impl Store {
    /// Drops what a power cut may have left incomplete.
    pub(super) fn recover(&self, last: Option<&Boots>) -> Result<()> {
        let trust = Trust {
            last,
            current: &self.inner.boot,
        };
        let _closed = self.inner.gate.close()?;
        for path in self.small_files()? {
            if !trust.file(&path) {
                remove_if_there(&path)?;
            }
        }
        for name in ["layers", "chains"] {
            for path in entries(&self.root().join(name))? {
                if !trust.file(&path.join(ENTRY_FILE)) {
                    self.move_to_trash(&path)?;
                }
            }
        }
        for (digest, path) in stored_blobs(self.root())? {
            let metadata = fs::metadata(&path).map_err(Error::io("examine", &path))?;
            if !trust.time(metadata.mtime()) && !is_whole(&digest, &path)? {
                remove_if_there(&path)?;
            }
        }
        self.drop_names_without_content()?;
        for name in [
            "index.db",
            "index.db-wal",
            "index.db-shm",
            "index.db-journal",
        ] {
            remove_if_there(&self.root().join(name))?;
        }
        self.sweep()?;
        Ok(())
    }

    /// Tags, marks of images and records.
    fn small_files(&self) -> Result<Vec<PathBuf>> {
        let mut files = entries(&self.root().join("refs/tags"))?;
        files.extend(entries(&self.root().join("refs/images"))?);
        for kind in entries(&self.root().join("records"))? {
            files.extend(entries(&kind)?);
        }
        Ok(files)
    }

    /// A name whose manifest is gone would only be in the way of pulling it again.
    fn drop_names_without_content(&self) -> Result<()> {
        for path in entries(&self.root().join("refs/tags"))? {
            let file = self.read_json::<TagFile>(&path)?;
            if let Some(file) = file
                && self.blob_size(&file.digest)?.is_none()
            {
                remove_if_there(&path)?;
            }
        }
        for path in entries(&self.root().join("refs/images"))? {
            let file = self.read_json::<ImageFile>(&path)?;
            if let Some(file) = file
                && self.blob_size(&file.digest)?.is_none()
            {
                remove_if_there(&path)?;
            }
        }
        Ok(())
    }
}

fn is_whole(digest: &Digest, path: &Path) -> Result<bool> {
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let found =
        hash_file(file, Hasher::new(digest.algorithm())).map_err(Error::io("read", path))?;
    Ok(found == *digest)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::store::lease::Held;
    use crate::{CacheKey, DiffId, ManifestKind, Reference, StoreOptions};

    fn open(root: &Path) -> Store {
        Store::open(root, StoreOptions::default()).unwrap()
    }

    /// Puts an image, a layer and a record named after `word` into the store.
    fn fill(store: &Store, word: &str) -> (Reference, CacheKey, Held, Digest) {
        let config = crate::ImageConfig {
            author: Some(word.to_owned()),
            ..Default::default()
        };
        let image = store.put_image(&config, &[], ManifestKind::Oci).unwrap();
        let reference: Reference = word.parse().unwrap();
        store.tag(&reference, &image.manifest_digest).unwrap();
        let layer = DiffId(Digest::sha256(word.as_bytes()));
        let temporary = store.temporary_directory("tree").unwrap();
        let making = temporary.path().join("layer");
        fs::create_dir(&making).unwrap();
        store
            .put_directory(Held::Layer(layer), &making, &[], &())
            .unwrap();
        let key = CacheKey::of(word.as_bytes());
        store.put_record("run", &key, &[layer], &word).unwrap();
        let blob = store.put_blob(format!("blob {word}").as_bytes()).unwrap();
        (reference, key, Held::Layer(layer), blob)
    }

    /// Rewrites everything as if the machine had been booted since.
    fn reboot(root: &Path) {
        let ours = BootId::current().unwrap().0;
        let store = open(root);
        let mut files = store.small_files().unwrap();
        files.push(root.join("boots"));
        for directory in entries(&root.join("layers")).unwrap() {
            files.push(directory.join(ENTRY_FILE));
        }
        drop(store);
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace(&ours, &BootId::other().0)).unwrap();
        }
    }

    fn age_blobs(root: &Path) {
        for (_, path) in stored_blobs(root).unwrap() {
            let old = SystemTime::now() - Duration::from_secs(100_000);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
    }

    #[test]
    fn synced_things_stay_and_others_go() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let store = open(root);
        let synced = fill(&store, "synced");
        store.sync().unwrap();
        age_blobs(root);
        let unsynced = fill(&store, "unsynced");
        drop(store);
        // What the last sync covers is not even read again; what follows is hashed and, here, found damaged.
        fs::write(open(root).blob_path(&synced.3), "old and trusted").unwrap();
        age_blobs(root);
        let path = open(root).blob_path(&unsynced.3);
        fs::write(path, "torn").unwrap();
        reboot(root);

        let store = open(root);
        let tags: Vec<String> = store
            .tags()
            .unwrap()
            .iter()
            .map(|(name, _)| name.familiar())
            .collect();
        assert_eq!(tags, ["synced:latest"]);
        assert_eq!(store.images().unwrap().len(), 1);
        assert!(store.record::<String>("run", &synced.1).unwrap().is_some());
        assert!(
            store
                .record::<String>("run", &unsynced.1)
                .unwrap()
                .is_none()
        );
        assert!(store.held_path(&synced.2).exists());
        assert!(!store.held_path(&unsynced.2).exists());
        assert!(store.blob_size(&synced.3).unwrap().is_some());
        assert!(store.blob_size(&unsynced.3).unwrap().is_none());
        let boots = Boots::read(root).unwrap();
        assert_eq!(boots, Boots::new(BootId::current().unwrap()));
        assert!(!store.is_synced().unwrap());
        assert_eq!(
            entries(&root.join("tmp")).unwrap().len(),
            1,
            "only the directory of this process"
        );

        // The boot after the next trusts what survived this recovery.
        store.sync().unwrap();
        drop(store);
        reboot(root);
        let store = open(root);
        assert_eq!(store.tags().unwrap().len(), 1);
        assert!(store.record::<String>("run", &synced.1).unwrap().is_some());
    }

    #[test]
    fn without_boots_nothing_is_trusted_but_whole_content() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let store = open(root);
        let things = fill(&store, "word");
        store.sync().unwrap();
        drop(store);
        reboot(root);
        fs::write(root.join("boots"), "{\"boot\"").unwrap();
        let store = open(root);
        assert!(store.tags().unwrap().is_empty());
        assert!(!store.held_path(&things.2).exists());
        assert!(store.blob_size(&things.3).unwrap().is_some());
    }

    #[test]
    fn a_sync_in_the_future_says_nothing_of_times() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let store = open(root);
        let things = fill(&store, "word");
        store.sync().unwrap();
        fs::write(store.blob_path(&things.3), "torn").unwrap();
        drop(store);
        age_blobs(root);
        let mut boots = Boots::read(root).unwrap();
        boots.synced_clock += 1_000_000;
        fs::write(root.join("boots"), serde_json::to_vec(&boots).unwrap()).unwrap();
        reboot(root);
        assert!(open(root).blob_size(&things.3).unwrap().is_none());
        assert_eq!(open(root).tags().unwrap().len(), 1);
    }
}
