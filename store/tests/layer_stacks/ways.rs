//! Parents that are left out, links in the way, hard links.

use super::*;

#[test]
fn omitted_parents_keep_what_they_have_below() {
    let (_scratch, _store, stack) = check(
        &[
            tar(|tar| {
                tar.directory("usr/", 0o711)
                    .directory("usr/private/", 0o700)
                    .file("usr/private/a", "a");
            }),
            tar(|tar| {
                tar.file("usr/private/b", "b").file("new/deep/c", "c");
            }),
        ],
        &[
            ("usr", "directory", 0o711),
            ("usr/private", "directory", 0o700),
            ("usr/private/b", "file", 0o644),
            ("new/deep", "directory", 0o755),
        ],
        &[],
    );
    assert_eq!(stack.lowers().len(), 3);
}

#[test]
fn complete_layers_need_no_fixups() {
    let (_scratch, _store, stack) = check(
        &[
            tar(|tar| {
                tar.directory("usr/", 0o755).file("usr/a", "a");
            }),
            tar(|tar| {
                tar.directory("usr/", 0o750).file("usr/b", "b");
            }),
        ],
        &[("usr", "directory", 0o750)],
        &[],
    );
    assert_eq!(stack.lowers().len(), 2);
}

#[test]
fn a_later_listing_of_an_omitted_parent_wins() {
    check(
        &[
            tar(|tar| {
                tar.directory("d/", 0o700).file("d/a", "a");
            }),
            tar(|tar| {
                tar.file("d/b", "b");
            }),
            tar(|tar| {
                tar.directory("d/", 0o711);
            }),
            tar(|tar| {
                tar.file("d/c", "c");
            }),
        ],
        &[
            ("d", "directory", 0o711),
            ("d/a", "file", 0o644),
            ("d/b", "file", 0o644),
            ("d/c", "file", 0o644),
        ],
        &[],
    );
}

#[test]
fn files_below_a_link_go_where_it_leads() {
    let (_scratch, _store, stack) = check(
        &[
            tar(|tar| {
                tar.directory("usr/", 0o755)
                    .directory("usr/lib/", 0o711)
                    .file("usr/lib/x", "x")
                    .symlink("lib", "usr/lib");
                tar.symlink("abs", "/usr/lib").symlink("out", "../../usr");
            }),
            tar(|tar| {
                tar.file("lib/y", "y")
                    .whiteout("lib/.wh.x")
                    .file("abs/sub/z", "z")
                    .file("out/w", "w")
                    .file("plain", "p");
            }),
        ],
        &[
            ("lib", "symlink", 0o777),
            ("usr/lib", "directory", 0o711),
            ("usr/lib/y", "file", 0o644),
            ("usr/lib/sub/z", "file", 0o644),
            ("usr/w", "file", 0o644),
            ("plain", "file", 0o644),
        ],
        &["usr/lib/x"],
    );
    assert_eq!(stack.lowers().len(), 2);
}

#[test]
fn a_listed_directory_replaces_a_link() {
    check(
        &[
            tar(|tar| {
                tar.directory("usr/", 0o755)
                    .directory("usr/lib/", 0o755)
                    .file("usr/lib/x", "x")
                    .symlink("lib", "usr/lib");
            }),
            tar(|tar| {
                tar.directory("lib/", 0o750).file("lib/y", "y");
            }),
        ],
        &[
            ("lib", "directory", 0o750),
            ("lib/y", "file", 0o644),
            ("usr/lib/x", "file", 0o644),
        ],
        &["usr/lib/y", "lib/x"],
    );
}

#[test]
fn hard_links_reach_lower_layers() {
    let (_scratch, _store, stack) = check(
        &[
            tar(|tar| {
                tar.directory("d/", 0o755)
                    .raw(b"d/original", b'0', b"text", |header| {
                        header.set_mode(0o4711)
                    });
                tar.file("old", "old").symlink("d/link", "nowhere");
            }),
            tar(|tar| {
                tar.hard_link("other", "d/original")
                    .hard_link("d/third", "other")
                    .hard_link("old", "d/original");
                tar.hard_link("alias", "d/link");
            }),
            tar(|tar| {
                tar.whiteout("d/.wh.original").file("d/third", "mine");
            }),
        ],
        &[
            ("other", "file", 0o4711),
            ("old", "file", 0o4711),
            ("d/third", "file", 0o644),
            ("alias", "symlink", 0o777),
        ],
        &["d/original"],
    );
    let seen = snapshot_view(&stack.view());
    assert_eq!(seen["other"].same_as.as_deref(), Some("old"));
}

#[test]
fn a_hard_link_to_nothing_is_named() {
    let scratch = scratch();
    let store = store(scratch.path());
    let record = ingest(
        &store,
        &tar(|tar| {
            tar.hard_link("a", "nowhere");
        })
        .end(),
    )
    .unwrap();
    let message = store.stack(&[record.diff_id]).unwrap_err().to_string();
    assert!(
        message.contains("`a`") && message.contains("`nowhere`"),
        "{message}"
    );
}
