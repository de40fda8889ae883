//! Archives that mean harm, or are broken: refused by name, nothing outside touched, nothing left.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod entries;
mod mutations;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use kiln_store::{Compression, Descriptor, DiffId, Digest, LayerError, Limits, Store, media_type};
use support::*;

/// A store beside files that nobody may touch.
struct Trap {
    scratch: tempfile::TempDir,
    store: Store,
    outside: Snapshot,
}

impl Trap {
    fn new() -> Self {
        let scratch = scratch();
        fs::create_dir(scratch.path().join("outside")).unwrap();
        fs::write(scratch.path().join("outside/canary"), "alive").unwrap();
        let store = store(&scratch.path().join("store"));
        // The first things a store makes for itself.
        drop(store.blob_writer().unwrap());
        let outside = snapshot_directory(&scratch.path().join("outside"));
        Self {
            scratch,
            store,
            outside,
        }
    }

    fn canary(&self) -> String {
        self.scratch
            .path()
            .join("outside/canary")
            .display()
            .to_string()
    }

    fn refuse(&self, tar: &Tar) -> LayerError {
        let error = ingest(&self.store, &tar.end()).unwrap_err();
        self.check_clean();
        error
    }

    fn check_clean(&self) {
        let outside = snapshot_directory(&self.scratch.path().join("outside"));
        assert_same(&self.outside, &outside, "canaries");
        let root = self.store.root();
        for place in ["layers", "chains", "blobs/sha256"] {
            assert_eq!(
                fs::read_dir(root.join(place)).unwrap().count(),
                0,
                "{place}"
            );
        }
        let left: Vec<_> = fs::read_dir(root.join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.iter().all(|path| is_lease(path)), "{left:?}");
    }
}

/// The directory of this very process, without files in the making.
fn is_lease(path: &Path) -> bool {
    path.file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .starts_with("process-")
        && fs::read_dir(path)
            .unwrap()
            .all(|entry| entry.unwrap().file_name() == "lease")
}

fn tar(fill: impl FnOnce(&mut Tar)) -> Tar {
    let mut tar = Tar::new();
    fill(&mut tar);
    tar
}
