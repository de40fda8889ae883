//! What is deleted, replaced and listed twice.

use super::*;

#[test]
fn deletions() {
    check(
        &[
            tar(|tar| {
                tar.directory("d/", 0o755)
                    .file("d/a", "a")
                    .file("d/b", "b")
                    .directory("e/", 0o700)
                    .file("e/f", "f");
                tar.file("file", "file")
                    .directory("dir/", 0o755)
                    .file("dir/in", "in")
                    .directory("gone/", 0o755);
            }),
            tar(|tar| {
                tar.whiteout("d/.wh.a")
                    .whiteout(".wh.never")
                    .whiteout("e/.wh..wh..opq")
                    .file("e/g", "g");
                tar.directory("file/", 0o755)
                    .file("file/now", "now")
                    .file("dir", "a file")
                    .whiteout(".wh.gone");
            }),
        ],
        &[
            ("d/b", "file", 0o644),
            ("e", "directory", 0o700),
            ("e/g", "file", 0o644),
            ("file/now", "file", 0o644),
            ("dir", "file", 0o644),
        ],
        &["d/a", "e/f", "never", "dir/in", "gone", "d/.wh.a"],
    );
}

#[test]
fn everything_deleted() {
    check(
        &[
            tar(|tar| {
                tar.directory("d/", 0o755).file("d/a", "a").file("b", "b");
            }),
            tar(|tar| {
                tar.whiteout(".wh..wh..opq").file("d/c", "c");
            }),
        ],
        &[("d/c", "file", 0o644)],
        &["d/a", "b"],
    );
}

#[test]
fn replaced_in_one_layer() {
    // A deletion and a new entry of the same name, in either order.
    for first in [true, false] {
        let second = tar(|tar| {
            if first {
                tar.whiteout(".wh.d");
            }
            tar.directory("d/", 0o750).file("d/new", "new");
            if !first {
                tar.whiteout(".wh.d");
            }
        });
        let scratch = scratch();
        let store = store(scratch.path());
        let base = tar(|tar| {
            tar.directory("d/", 0o755).file("d/old", "old");
        });
        let layers = [base, second].map(|tar| ingest(&store, &tar.end()).unwrap().diff_id);
        let seen = snapshot_view(&store.stack(&layers).unwrap().view());
        assert!(
            seen.contains_key("d/new") && !seen.contains_key("d/old"),
            "{first}: {:?}",
            seen.keys()
        );
    }
}

#[test]
fn later_entries_of_the_same_name_win() {
    check(
        &[tar(|tar| {
            tar.file("a", "first")
                .file("a", "second")
                .directory("d/", 0o755)
                .file("d/x", "x");
            tar.symlink("l", "a")
                .file("l", "was a link")
                .directory("d/", 0o711)
                .file("b/c", "c")
                .directory("b/", 0o700);
        })],
        &[
            ("a", "file", 0o644),
            ("d", "directory", 0o711),
            ("d/x", "file", 0o644),
            ("l", "file", 0o644),
            ("b", "directory", 0o700),
        ],
        &[],
    );
}

#[test]
fn links_of_the_same_archive_are_followed_inside() {
    let scratch = scratch();
    let store = store(scratch.path());
    let record = ingest(
        &store,
        &tar(|tar| {
            tar.directory("usr/", 0o755)
                .directory("usr/lib/", 0o755)
                .symlink("lib", "usr/lib")
                .file("lib/y", "y");
            tar.symlink("usr/up", "../lib").file("usr/up/z", "z");
        })
        .end(),
    )
    .unwrap();
    let seen = snapshot_view(&store.stack(&[record.diff_id]).unwrap().view());
    assert_eq!(
        (
            seen["lib"].kind,
            seen["usr/lib/y"].kind,
            seen["usr/lib/z"].kind
        ),
        ("symlink", "file", "file")
    );
}
