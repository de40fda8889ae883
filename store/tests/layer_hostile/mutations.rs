//! Layers as tools make them, with random damage: each is taken whole or refused whole, nothing outside is touched, nothing panics.
//! `KILN_FUZZ_SECONDS` makes it run longer, `KILN_TEST_SEED` repeats a run.

use std::process::Command;
use std::time::{Duration, Instant};

use super::*;

/// How many mutants an ordinary run tries.
const MUTANTS: usize = 400;
const BLOCK: usize = 512;
/// What no archive here comes near by itself.
const LIMITS: Limits = Limits {
    bytes: 8 << 20,
    entries: 2000,
    depth: 64,
    remembered: 1 << 20,
    ratio: 1000,
};

/// Archives with everything that layers have: links of both kinds, whiteouts, devices, sparse files, long names, attributes.
fn originals(scratch: &Path, random: &mut Random) -> Vec<Vec<u8>> {
    let long = "deep/".repeat(30);
    let mut all = vec![
        tar(|t| {
            t.directory("d/", 0o750).file("d/file", "content");
            t.symlink("up", "../../outside").symlink("abs", "/etc");
            t.symlink("lib", "d").file("lib/through", "x");
            t.hard_link("d/other", "d/file").whiteout("d/.wh.gone");
            t.whiteout("d/.wh..wh..opq").file("up2", "x");
            t.raw(b"fifo", b'6', b"", |_| {});
            t.raw(b"device", b'3', b"", |header| {
                header.set_device_major(1).unwrap();
                header.set_device_minor(3).unwrap();
            });
            t.pax(&[
                ("path", format!("{long}name").as_bytes()),
                ("mtime", b"1.5"),
                ("SCHILY.xattr.user.test", b"value"),
            ]);
            t.file("short", "long name");
            t.pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")]);
            t.file("sparse", "");
        })
        .end(),
    ];
    if has("tar") {
        let source = scratch.join("source");
        fs::create_dir(&source).unwrap();
        fs::create_dir(source.join("sub")).unwrap();
        fs::write(source.join("sub/noise"), random.bytes(3000)).unwrap();
        let sparse = fs::File::create(source.join("sparse")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 200_000).unwrap();
        std::os::unix::fs::symlink("sub", source.join("link")).unwrap();
        fs::hard_link(source.join("sub/noise"), source.join("hard")).unwrap();
        for format in ["gnu -S", "posix -S", "ustar"] {
            let mut command = Command::new("tar");
            command.args(["-c", "--format"]).args(format.split(' '));
            command.arg("-C");
            let made = command.arg(&source).arg(".").output().unwrap();
            assert!(made.status.success());
            all.push(made.stdout);
        }
    }
    all
}

/// Damages an archive; checksums are put right in most cases, or nothing behind them would ever be reached.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let blocks = (bytes.len() / BLOCK).max(1);
        let at = random.below(blocks) * BLOCK;
        match random.below(8) {
            0 => bytes.truncate(random.below(bytes.len().max(1))),
            1 => {
                let other = random.below(blocks) * BLOCK;
                let block = bytes.get(other..other + BLOCK).unwrap_or_default().to_vec();
                let at = at.min(bytes.len());
                bytes.splice(at..at, block);
            }
            2 => {
                let end = (at + BLOCK).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            3 => {
                const WORDS: &[&[u8]] = &[
                    b"..",
                    b"/",
                    b"../../outside/canary",
                    b".wh..wh..opq",
                    b".wh.",
                    b"\x80\0\0\0\0\0\0\0\xff\xff\xff",
                    b"77777777777",
                    b"\xff\xff",
                    b"trusted.overlay.opaque",
                ];
                let word = WORDS[random.below(WORDS.len())];
                // The fields of a header: name, sizes, type, link, prefix; or anywhere.
                let fields = [0, 100, 124, 156, 157, 345, random.below(BLOCK)];
                let start = at + fields[random.below(fields.len())];
                for (offset, byte) in word.iter().enumerate() {
                    if let Some(place) = bytes.get_mut(start + offset) {
                        *place = *byte;
                    }
                }
            }
            4 => {
                let kinds = b"01234567LKxgSDVN\0";
                if let Some(kind) = bytes.get_mut(at + 156) {
                    *kind = kinds[random.below(kinds.len())];
                }
            }
            _ => {
                let place = random.below(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    if random.chance(90) {
        put_checksums_right(bytes);
    }
}

fn put_checksums_right(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(BLOCK) {
        let is_header = block[257..262] == *b"ustar";
        if is_header {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn pack(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    match random.below(3) {
        0 => bytes.to_vec(),
        1 => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::bulk::compress(bytes, 1).unwrap(),
    }
}

#[test]
fn damaged_layers_are_taken_whole_or_not_at_all() {
    let mut random = Random::new("damaged_layers_are_taken_whole_or_not_at_all");
    let sources = scratch();
    let originals = originals(sources.path(), &mut random);
    let seconds = std::env::var("KILN_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut trap = Trap::new();
    let (mut tried, mut taken) = (0, 0);
    while end.map_or(tried < MUTANTS, |end| Instant::now() < end) {
        tried += 1;
        let mut bytes = originals[random.below(originals.len())].clone();
        mutate(&mut random, &mut bytes);
        let packed = pack(&mut random, &bytes);
        let diff_id = DiffId(Digest::sha256(&bytes));
        let blob = Descriptor::new(
            media_type::OCI_LAYER,
            Digest::sha256(&packed),
            packed.len() as u64,
        );
        match trap
            .store
            .ingest_layer(&mut &packed[..], &blob, &diff_id, &LIMITS)
        {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                trap.check_clean();
            }
            Ok(record) => {
                taken += 1;
                check_taken(&trap, &record);
                trap = Trap::new();
            }
        }
    }
    eprintln!("{tried} mutants, {taken} of them layers");
    assert!(taken > 0 && taken < tried, "{taken} of {tried}");
}

/// The layer is there and can be read from end to end, over a base with links and below one; nothing outside changed.
fn check_taken(trap: &Trap, record: &kiln_store::LayerRecord) {
    let root = trap.store.root();
    assert_eq!(fs::read_dir(root.join("layers")).unwrap().count(), 1);
    let base = tar(|t| {
        t.directory("usr/", 0o755).directory("usr/d/", 0o755);
        t.symlink("d", "usr/d").symlink("deep", "../../outside");
        t.symlink("sub", "/").file("hard", "x");
    });
    let base = ingest(&trap.store, &base.end()).unwrap().diff_id;
    let layer = record.diff_id;
    for layers in [vec![layer], vec![base, layer], vec![layer, base]] {
        // Links to nowhere and too many links are refused here, by name.
        if let Ok(stack) = trap.store.stack(&layers) {
            snapshot_view(&stack.view());
        }
    }
    let outside = snapshot_directory(&trap.scratch.path().join("outside"));
    assert_same(&trap.outside, &outside, "canaries");
}
