//! Stacks of layers that rely on each other in awkward ways: mounted, viewed and unpacked by umoci, they are the same.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use kiln_store::{DiffId, Digest, LayerRecord, Stack, Store, media_type};
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
    compare_with_umoci(scratch.path(), archives, &seen);
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

fn compare_with_umoci(scratch: &Path, archives: &[Tar], seen: &Snapshot) {
    if !is_root() || !has("umoci") {
        return;
    }
    let layout = scratch.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (digest, bytes.len())
    };
    let descriptor = |kind: &str, (digest, size): (Digest, usize)| {
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let tars: Vec<Vec<u8>> = archives.iter().map(Tar::end).collect();
    let layers: Vec<String> = tars
        .iter()
        .map(|tar| descriptor(media_type::OCI_LAYER, put(tar)))
        .collect();
    let diff_ids: Vec<String> = tars
        .iter()
        .map(|tar| format!("\"{}\"", Digest::sha256(tar)))
        .collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}},"history":[]}}"#,
        diff_ids.join(",")
    );
    let config = descriptor(media_type::OCI_CONFIG, put(config.as_bytes()));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        layers.join(",")
    );
    let manifest = descriptor(media_type::OCI_MANIFEST, put(manifest.as_bytes()));
    let named = manifest.replacen(
        '}',
        r#","annotations":{"org.opencontainers.image.ref.name":"latest"}}"#,
        1,
    );
    fs::write(
        layout.join("index.json"),
        format!(r#"{{"schemaVersion":2,"manifests":[{named}]}}"#),
    )
    .unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let bundle = scratch.join("bundle");
    let mut umoci = Command::new("umoci");
    umoci
        .args(["unpack", "--image"])
        .arg(format!("{}:latest", layout.display()))
        .arg(&bundle);
    run(&mut umoci);
    // umoci lets the times of directories change in which it makes something later.
    let plain = |snapshot| {
        without(snapshot, |_, node| {
            if node.kind == "directory" {
                node.mtime = (0, 0);
            }
        })
    };
    assert_same(
        &plain(seen.clone()),
        &plain(snapshot_directory(&bundle.join("rootfs"))),
        "umoci",
    );
}

fn tar(fill: impl FnOnce(&mut Tar)) -> Tar {
    let mut tar = Tar::new();
    fill(&mut tar);
    tar
}

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

#[test]
fn five_hundred_layers() {
    let archives: Vec<Tar> = (0..500)
        .map(|number| {
            tar(|tar| {
                tar.directory("d/", 0o700 | (number % 8))
                    .file("d/same", &number.to_string());
                tar.file(&format!("d/only-{number}"), "x");
                if number > 0 {
                    tar.whiteout(&format!("d/.wh.only-{}", number - 1));
                }
            })
        })
        .collect();
    let (_scratch, store, stack) = check(
        &archives,
        &[("d/only-499", "file", 0o644), ("d", "directory", 0o703)],
        &["d/only-498"],
    );
    assert!(stack.lowers().len() < 130, "{}", stack.lowers().len());
    // One more uses the same merged directory.
    let last = ingest(
        &store,
        &tar(|tar| {
            tar.file("last", "x");
        })
        .end(),
    )
    .unwrap();
    let longer: Vec<DiffId> = stack
        .layers()
        .iter()
        .copied()
        .chain([last.diff_id])
        .collect();
    let longer = store.stack(&longer).unwrap();
    assert_eq!(longer.lowers()[0], stack.lowers()[0]);
}

/// Steps that do the same, or nothing, give the same layer again: overlay takes no directory twice.
#[test]
fn the_same_layer_twice() {
    let base = || {
        tar(|tar| {
            tar.directory("d", 0o755).file("d/kept", "a");
        })
    };
    let removes = tar(|tar| {
        tar.whiteout("d/.wh.kept");
    });
    let empty = || tar(|_| {});
    let (_scratch, _store, stack) = check(
        &[base(), empty(), removes, empty(), base(), empty()],
        &[("d", "directory", 0o755), ("d/kept", "file", 0o644)],
        &[],
    );
    assert_eq!(stack.layers().len(), 6);
    assert_eq!(stack.lowers().len(), 3);
}
