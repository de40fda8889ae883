//! Archives that mean harm, or are broken: refused by name, nothing outside touched, nothing left.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

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

#[test]
fn entries_that_lead_out() {
    let trap = Trap::new();
    let canary = trap.canary();
    let outside = Path::new(&canary).parent().unwrap().display().to_string();
    let up = format!("{}{}", "../".repeat(30), &canary[1..]);
    for (what, entry, tar) in [
        (
            "upwards",
            "../canary",
            tar(|t| {
                t.file("../canary", "dead");
            }),
        ),
        (
            "upwards inside",
            "a/../../canary",
            tar(|t| {
                t.file("a/../../canary", "dead");
            }),
        ),
        (
            "absolute link",
            "x/canary",
            tar(|t| {
                t.symlink("x", &outside).file("x/canary", "dead");
            }),
        ),
        (
            "link upwards",
            "x/canary",
            tar(|t| {
                t.symlink("x", "../../../../outside")
                    .file("x/canary", "dead");
            }),
        ),
        (
            "two links",
            "b/canary",
            tar(|t| {
                t.symlink("a", "..")
                    .symlink("b", "a/../../outside")
                    .file("b/canary", "dead");
            }),
        ),
        (
            "link to itself",
            "x/y",
            tar(|t| {
                t.symlink("x", "x").file("x/y", "dead");
            }),
        ),
        (
            "directory over it",
            "x/canary/",
            tar(|t| {
                t.symlink("x", &outside).directory("x/canary/", 0o700);
            }),
        ),
        (
            "mode through link",
            "x/",
            tar(|t| {
                t.symlink("x", &outside)
                    .directory("x/", 0o000)
                    .file("x/../y", "");
            }),
        ),
        (
            "hard link up",
            "h",
            tar(|t| {
                t.hard_link("h", "../../outside/canary");
            }),
        ),
        (
            "hard link to directory",
            "h",
            tar(|t| {
                t.directory("d/", 0o755).hard_link("h", "d");
            }),
        ),
        (
            "whiteout of dot",
            ".wh..",
            tar(|t| {
                t.whiteout(".wh..");
            }),
        ),
        (
            "whiteout of dots",
            "d/.wh...",
            tar(|t| {
                t.whiteout("d/.wh...");
            }),
        ),
        (
            "empty whiteout",
            ".wh.",
            tar(|t| {
                t.whiteout(".wh.");
            }),
        ),
        (
            "below a whiteout",
            ".wh.x/y",
            tar(|t| {
                t.file(".wh.x/y", "");
            }),
        ),
        (
            "whiteout through link",
            "x/.wh.canary",
            tar(|t| {
                t.symlink("x", &outside).whiteout("x/.wh.canary");
            }),
        ),
        (
            "file as directory",
            "f/x",
            tar(|t| {
                t.file("f", "").file("f/x", "");
            }),
        ),
        (
            "root as file",
            "./",
            tar(|t| {
                t.file("./", "x");
            }),
        ),
        (
            "device 0:0",
            "dev",
            tar(|t| {
                t.raw(b"dev", b'3', b"", |_| {});
            }),
        ),
        (
            "unknown type",
            "odd",
            tar(|t| {
                t.raw(b"odd", b'Z', b"", |_| {});
            }),
        ),
    ] {
        let message = trap.refuse(&tar).to_string();
        if what != "mode through link" {
            assert!(message.contains(&format!("`{entry}`")), "{what}: {message}");
        }
    }
    // A whole path upwards, and absolute names and link targets, which mean the layer's own root.
    let message = trap
        .refuse(&tar(|t| {
            t.pax(&[("path", up.as_bytes())]).file("x", "dead");
        }))
        .to_string();
    assert!(message.contains(&canary[1..]), "{message}");
    let harmless = tar(|t| {
        t.pax(&[("path", canary.as_bytes())])
            .file("x", "inside")
            .pax(&[("linkpath", canary.as_bytes())])
            .hard_link("h", "x");
    });
    let record = ingest(&trap.store, &harmless.end()).unwrap();
    let seen = snapshot_view(&trap.store.stack(&[record.diff_id]).unwrap().view());
    assert!(seen.contains_key(&canary[1..]) && seen.contains_key("h"));
    let outside = snapshot_directory(&trap.scratch.path().join("outside"));
    assert_same(&trap.outside, &outside, "canaries");
}

#[test]
fn headers_that_contradict_each_other() {
    let trap = Trap::new();
    let inner = tar(|t| {
        t.file("smuggled", "x");
    })
    .end();
    for (what, tar) in [
        (
            "PAX larger",
            tar(|t| {
                t.pax(&[("size", b"1024")])
                    .raw(b"a", b'0', &inner[..512], |_| {});
            }),
        ),
        (
            "PAX smaller",
            tar(|t| {
                t.pax(&[("size", b"0")]).raw(b"a", b'0', &inner, |_| {});
            }),
        ),
        (
            "PAX without ustar",
            tar(|t| {
                t.pax(&[("size", b"512")]).raw(b"a", b'0', b"", |_| {});
            }),
        ),
        (
            "bad PAX",
            tar(|t| {
                t.raw(b"p", b'x', b"12 path=abc", |_| {}).file("a", "");
            }),
        ),
        (
            "PAX zero byte",
            tar(|t| {
                t.pax(&[("path", b"a\0b")]).file("a", "");
            }),
        ),
        (
            "PAX number",
            tar(|t| {
                t.pax(&[("uid", b"-1")]).file("a", "");
            }),
        ),
        (
            "PAX time",
            tar(|t| {
                t.pax(&[("mtime", b"now")]).file("a", "");
            }),
        ),
        (
            "global path",
            tar(|t| {
                t.raw(b"g", b'g', b"10 path=x\n", |_| {}).file("a", "");
            }),
        ),
        (
            "sparse map",
            tar(|t| {
                t.pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9")])
                    .file("a", "1\n8\n9\n");
            }),
        ),
        (
            "sparse map, small",
            tar(|t| {
                t.pax(&[("GNU.sparse.map", b"0,4,2,4"), ("GNU.sparse.size", b"9")])
                    .file("a", "12345678");
            }),
        ),
        (
            "ends in PAX",
            tar(|t| {
                t.pax(&[("path", b"a")]);
            }),
        ),
    ] {
        let error = trap.refuse(&tar);
        assert!(
            matches!(
                error,
                LayerError::Refused { .. } | LayerError::Damaged { .. }
            ),
            "{what}: {error}"
        );
    }
    let mut broken = tar(|t| {
        t.file("first", "x").file("second", "y");
    });
    broken.0[1024] ^= 1;
    let message = trap.refuse(&broken).to_string();
    assert!(
        message.contains("`first`") && message.contains("checksum"),
        "{message}"
    );
}

#[test]
fn forged_attributes() {
    let trap = Trap::new();
    for name in [
        "trusted.overlay.opaque",
        "user.overlay.redirect",
        "user.overlay.metacopy",
        "trusted.overlay.overlay.opaque",
    ] {
        let message = trap
            .refuse(&tar(|t| {
                t.pax(&[(&format!("SCHILY.xattr.{name}"), b"y")])
                    .directory("d/", 0o755);
            }))
            .to_string();
        assert!(
            message.contains("`d/`") && message.contains(name),
            "{message}"
        );
    }
}

#[test]
fn cut_and_corrupt_streams() {
    let trap = Trap::new();
    let mut random = Random::new("cut_and_corrupt_streams");
    let noise = random.bytes(700_000);
    let whole = tar(|t| {
        t.file("first", "x")
            .raw(b"noise", b'0', &noise, |_| {})
            .file("last", "x");
    })
    .end();
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&whole).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::bulk::compress(&whole, 1).unwrap();
    let diff_id = DiffId(Digest::sha256(&whole));
    for (kind, packed) in [
        (media_type::OCI_LAYER, &whole),
        (media_type::OCI_LAYER_GZIP, &gzip),
        (media_type::OCI_LAYER_ZSTD, &zstd),
    ] {
        for round in 0..25 {
            let mut bytes = packed.clone();
            match round {
                0 => bytes.clear(),
                1..=9 => bytes.truncate(random.below(bytes.len() - 1024)),
                10..=11 => bytes.extend(b"more"),
                _ => {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 + random.below(255) as u8;
                }
            }
            // Announced as it should be, and as it is.
            for announced in [Digest::sha256(packed), Digest::sha256(&bytes)] {
                let size = if announced == Digest::sha256(packed) {
                    packed.len()
                } else {
                    bytes.len()
                };
                let blob = Descriptor::new(kind, announced, size as u64);
                let result =
                    trap.store
                        .ingest_layer(&mut &bytes[..], &blob, &diff_id, &Limits::default());
                assert!(result.is_err(), "{kind} round {round}");
                trap.check_clean();
            }
        }
        let blob = Descriptor::new(kind, Digest::sha256(packed), packed.len() as u64);
        let wrong = DiffId(Digest::sha256(b"another"));
        let error = trap
            .store
            .ingest_layer(&mut &packed[..], &blob, &wrong, &Limits::default())
            .unwrap_err();
        assert!(matches!(error, LayerError::Mismatch { .. }), "{error}");
        trap.check_clean();
    }
    trap.store
        .ingest_layer(
            &mut &gzip[..],
            &Descriptor::new(
                media_type::OCI_LAYER,
                Digest::sha256(&gzip),
                gzip.len() as u64,
            ),
            &diff_id,
            &Limits::default(),
        )
        .unwrap();
}

#[test]
fn a_reader_that_fails_says_why() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("connection reset by peer"));
            }
            let length = buffer.len().min(self.0);
            self.0 -= length;
            buffer[..length].fill(0x1f);
            Ok(length)
        }
    }
    let trap = Trap::new();
    let blob = Descriptor::new(media_type::OCI_LAYER, Digest::sha256(b"x"), 100 << 20);
    let small = Descriptor::new(media_type::OCI_LAYER, Digest::sha256(b"x"), 1000);
    for (blob, after) in [(&blob, 0), (&small, 0)] {
        let error = trap
            .store
            .ingest_layer(
                &mut Failing(after),
                blob,
                &DiffId(Digest::sha256(b"y")),
                &Limits::default(),
            )
            .unwrap_err();
        assert!(
            error.to_string().contains("connection reset by peer"),
            "{error}"
        );
        trap.check_clean();
    }
}

#[test]
fn bombs() {
    let trap = Trap::new();
    let take = |tar: &[u8], limits: &Limits| {
        let diff_id = DiffId(Digest::sha256(tar));
        let blob = Descriptor::new(
            Compression::None.media_type(),
            *diff_id.digest(),
            tar.len() as u64,
        );
        let error = trap
            .store
            .ingest_layer(&mut &tar[..], &blob, &diff_id, limits)
            .unwrap_err();
        trap.check_clean();
        error.to_string()
    };
    let many = tar(|t| {
        for number in 0..100 {
            t.file(&format!("f{number}"), "x");
        }
    });
    let message = take(
        &many.end(),
        &Limits {
            entries: 50,
            ..Limits::default()
        },
    );
    assert!(
        message.contains("`f50`") && message.contains("entries"),
        "{message}"
    );
    let message = take(
        &many.end(),
        &Limits {
            bytes: 20_000,
            ..Limits::default()
        },
    );
    assert!(message.contains("20000"), "{message}");
    let deep = tar(|t| {
        t.file(&"d/".repeat(45), "x");
    });
    let message = take(
        &deep.end(),
        &Limits {
            depth: 40,
            ..Limits::default()
        },
    );
    assert!(message.contains("depth"), "{message}");
    let hollow = tar(|t| {
        t.pax(&[
            ("GNU.sparse.map", b"0,1"),
            ("GNU.sparse.size", b"999999999999999"),
        ])
        .file("hollow", "x");
    });
    let message = take(&hollow.end(), &Limits::default());
    assert!(message.contains("`hollow`"), "{message}");
    let long = tar(|t| {
        t.pax(&[("path", "x".repeat(300).as_bytes())]).file("a", "");
    });
    assert!(take(&long.end(), &Limits::default()).contains("too long"));
    let endless = tar(|t| {
        t.pax(&[("path", "x/".repeat(3000).as_bytes())])
            .file("a", "");
    });
    take(&endless.end(), &Limits::default());
}

#[test]
fn a_small_blob_of_many_zeros() {
    // Two gigabytes of zeros in a few kilobytes: stopped on the way, not at the end.
    let trap = Trap::new();
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(4 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(header.as_bytes()).unwrap();
    let block = vec![0; 4 << 20];
    for _ in 0..512 {
        encoder.write_all(&block).unwrap();
    }
    let packed = encoder.finish().unwrap();
    let blob = Descriptor::new(
        media_type::OCI_LAYER_ZSTD,
        Digest::sha256(&packed),
        packed.len() as u64,
    );
    let error = trap
        .store
        .ingest_layer(
            &mut &packed[..],
            &blob,
            &DiffId(Digest::sha256(b"y")),
            &Limits::default(),
        )
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("ratio") && message.contains("`zeros`"),
        "{message}"
    );
    trap.check_clean();
}
