//! Streams that are cut, corrupt, or larger than they look.

use super::*;

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

/// Adds the entry of a number.
type Shape<'a> = &'a dyn Fn(&mut Tar, usize);

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
    // Names, links to nowhere and lists that would have to be kept until the end.
    let remembered = Limits {
        remembered: 3000,
        ..Limits::default()
    };
    let list = [&[2, 0, 0, 0][..], &[7; 900]].concat();
    let shapes: [Shape<'_>; 4] = [
        &|t, number| {
            t.directory(&format!("{}{number}/", "n".repeat(90)), 0o755);
        },
        &|t, number| {
            t.file(&format!("{}{number}/x", "n".repeat(90)), "x");
        },
        &|t, number| {
            t.hard_link(&format!("{}{number}", "n".repeat(90)), "nowhere");
        },
        &|t, number| {
            t.pax(&[("SCHILY.xattr.system.posix_acl_default", &list)]);
            t.directory(&format!("d{number}/"), 0o755);
        },
    ];
    for shape in shapes {
        let many = tar(|t| (0..40).for_each(|number| shape(t, number)));
        let message = take(&many.end(), &remembered);
        assert!(message.contains("remembered"), "{message}");
    }
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
