//! Stacks of layers that rely on each other in awkward ways: mounted, viewed and unpacked by umoci, they are the same.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod deep;
#[path = "../support/mod.rs"]
mod support;
mod ways;
mod whiteouts;

use kiln_store::{DiffId, LayerRecord, Stack, Store};
use support::*;

/// Stacks archives and compares all ways to look at the result. `expected` names what must be there, with a start of its
/// kind and content.
fn check(
    archives: &[Tar],
    expected: &[(&str, &str, u32)],
    absent: &[&str],
) -> (tempfile::TempDir, Store, Stack) {
    let scratch = scratch();
    let store = store(&scratch.path().join("store"));
    let records: Vec<LayerRecord> = archives
        .iter()
        .map(|tar| ingest(&store, &tar.end()).unwrap())
        .collect();
    let layers: Vec<DiffId> = records.iter().map(|record| record.diff_id).collect();
    let stack = store.stack(&layers).unwrap();
    let seen = snapshot_view(&stack.view());
    for (path, kind, mode) in expected {
        let node = seen
            .get(*path)
            .unwrap_or_else(|| panic!("{path} is missing: {:?}", seen.keys()));
        assert_eq!((node.kind, node.mode), (*kind, *mode), "{path}");
    }
    for path in absent {
        assert!(!seen.contains_key(*path), "{path} is there");
    }
    let again = store.stack(&layers).unwrap();
    assert_eq!(again.lowers(), stack.lowers(), "the second time");
    assert_same(&seen, &snapshot_view(&again.view()), "the second time");
    if let Some(mounted) = Mounted::stack(stack.lowers(), None, &scratch.path().join("mnt")) {
        assert_same(
            &rootless_time(seen.clone()),
            &rootless_time(snapshot_directory(mounted.path())),
            "mounted",
        );
    }
    let tars: Vec<Vec<u8>> = archives.iter().map(Tar::end).collect();
    if let Some(unpacked) = umoci::unpacked(scratch.path(), &tars) {
        assert_same(&umoci::plain(seen), &umoci::plain(unpacked), "umoci");
    }
    (scratch, store, stack)
}

/// The root's time means nothing.
fn rootless_time(snapshot: Snapshot) -> Snapshot {
    without(snapshot, |name, node| {
        if name == "/" {
            node.mtime = (0, 0);
        }
    })
}

fn tar(fill: impl FnOnce(&mut Tar)) -> Tar {
    let mut tar = Tar::new();
    fill(&mut tar);
    tar
}
