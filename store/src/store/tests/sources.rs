//! Fetched sources: kept while somebody uses them, counted, collected by age and size.

use std::time::{Duration, SystemTime};

use super::*;
use crate::store::source::SOURCES;
use crate::{PruneOptions, SourceFolder};

/// A source of so many bytes that was last used so many seconds ago.
fn source(store: &Store, name: &str, size: usize, age: u64) -> SourceFolder {
    let folder = store.use_source("git", name).unwrap();
    fs::create_dir_all(folder.path().join("repository.git/objects")).unwrap();
    fs::write(folder.path().join("repository.git/pack"), vec![7; size]).unwrap();
    let used = SystemTime::now() - Duration::from_secs(age);
    fs::File::open(folder.path())
        .unwrap()
        .set_modified(used)
        .unwrap();
    folder
}

fn names(store: &Store) -> Vec<String> {
    let folders = store.sources().unwrap();
    let mut names: Vec<String> = folders
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn seconds_ago(seconds: u64) -> u64 {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    time.duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[test]
fn what_a_build_uses_stays() {
    let directory = scratch();
    let store = open(directory.path());
    drop(source(&store, "idle", 100_000, 0));
    let used = source(&store, "used", 50_000, 0);
    let share = store.disk_usage().unwrap().others[SOURCES];
    assert_eq!(share.count, 2);
    assert!(share.bytes >= 150_000 && (100_000..150_000).contains(&share.reclaimable));
    let options = PruneOptions {
        sources: true,
        ..PruneOptions::default()
    };
    // Another process: locks belong to the open file, not to the process.
    let other = open(directory.path());
    let dry = PruneOptions {
        dry_run: true,
        ..options.clone()
    };
    let forecast = other.prune(&dry).unwrap();
    assert_eq!(names(&store), ["idle", "used"]);
    let report = other.prune(&options).unwrap();
    assert_eq!((report.sources, forecast.sources), (1, 1));
    assert!(report.bytes >= 100_000 && forecast.bytes >= 100_000);
    assert_eq!(names(&store), ["used"]);
    assert!(used.path().join("repository.git/pack").exists());
    // Nobody asked for sources.
    drop(used);
    other.prune(&PruneOptions::default()).unwrap();
    assert_eq!(names(&store), ["used"]);
    assert_eq!(other.prune(&options).unwrap().sources, 1);
    usage::check(&store);
}

#[test]
fn by_age() {
    let directory = scratch();
    let store = open(directory.path());
    drop(source(&store, "old", 1000, 7200));
    drop(source(&store, "new", 1000, 10));
    let options = PruneOptions {
        sources: true,
        before: Some(seconds_ago(3600)),
        ..PruneOptions::default()
    };
    assert_eq!(store.prune(&options).unwrap().sources, 1);
    assert_eq!(names(&store), ["new"]);
    // Using it makes it new.
    drop(source(&store, "again", 1000, 7200));
    drop(store.use_source("git", "again").unwrap());
    assert_eq!(store.prune_sources(seconds_ago(3600)).unwrap(), 0);
    assert!(store.use_source("git", "../out").is_err());
}

#[test]
fn until_the_rest_fits() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = put_layer(&store, "kept");
    put_image(&store, "image", &[layer]);
    for (name, age) in [("third", 30), ("first", 50), ("second", 40)] {
        drop(source(&store, name, 200_000, age));
    }
    let images = store.disk_usage().unwrap().images.bytes;
    let options = |room: u64| PruneOptions {
        sources: true,
        keep_bytes: Some(images + room),
        ..PruneOptions::default()
    };
    assert_eq!(store.prune(&options(900_000)).unwrap().sources, 0);
    assert_eq!(store.prune(&options(500_000)).unwrap().sources, 1);
    assert_eq!(names(&store), ["second", "third"]);
    assert_eq!(store.prune(&options(0)).unwrap().sources, 2);
    assert_eq!(store.images().unwrap().len(), 1, "that was enough");
}
