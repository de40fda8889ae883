//! The bytes of layers are the same on every machine, on any number of cores, in every run. A change of these digests
//! changes the digest of every image that is built: it belongs into the changelog.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;

use kiln_store::{Attributes, CommitOptions, Compression, Kind, LayerRecord, Store, TreeWriter};
use support::*;

const TAR: &str = "sha256:b5f019453911a3bea9a5cf49ffafad11a98d9242e824cfcc588fbee270cd2170";
const CONTENT: &str = "961a75592b52c9db5378bba35e7a476a5911d7c25192ec3185d65604e400320d";
const GZIP: &str = "sha256:da479cdeae72fb86f7f5fe261b47e03fd91032e1840d998402bd95d0c7c46835";
const ZSTD: &str = "sha256:b81d1bce8bc2cfad63916018bcfce9fc051be6c306999baef79da75d046c21c5";

/// Some of everything that a layer can hold.
fn golden(store: &Store, compression: Compression) -> LayerRecord {
    let empty = store.stack(&[]).unwrap();
    let tree = store.new_tree(&empty).unwrap();
    let mut writer = TreeWriter::new(&tree, &empty.view(), family()).unwrap();
    let attributes = |mode: u32, time: (i64, u32)| Attributes {
        mode,
        uid: 3,
        gid: 4_000_000,
        mtime: Some(time),
        xattrs: Vec::new(),
    };
    let plain = attributes(0o755, (1_000_000_000, 0));
    let long = format!("{}/{}", "directory".repeat(12), "name".repeat(30));
    let directories = ["usr/bin", "etc", long.split('/').next().unwrap()];
    for directory in directories {
        writer
            .ensure_directory(directory.as_bytes(), &plain, &plain)
            .unwrap();
    }
    let mut random = Random(42);
    let mixed = [
        random.bytes(3 << 20),
        b"a text that repeats ".repeat(200_000),
    ]
    .concat();
    writer
        .file_from(
            b"usr/bin/mixed",
            &mut &mixed[..],
            &attributes(0o4755, (-5, 500_000_000)),
        )
        .unwrap();
    writer
        .hard_link(b"usr/bin/again", b"usr/bin/mixed")
        .unwrap();
    writer
        .symlink(b"bin", b"usr/bin", &attributes(0o777, (7, 1)))
        .unwrap();
    writer.node(b"etc/pipe", Kind::Fifo, 0, &plain).unwrap();
    writer
        .node(b"etc/null", Kind::CharacterDevice, 0x103, &plain)
        .unwrap();
    writer
        .file_from(long.as_bytes(), &mut &b"long"[..], &plain)
        .unwrap();
    writer
        .file_from(b"etc/\xff\xfe", &mut &b"no text"[..], &plain)
        .unwrap();
    let marked = Attributes {
        xattrs: vec![(b"user.a=b".to_vec(), b"\0\n\xff".to_vec())],
        ..attributes(0o600, (1, 0))
    };
    writer
        .file_from(b"etc/marked", &mut &b""[..], &marked)
        .unwrap();
    let sparse = tempfile::tempfile().unwrap();
    sparse.write_all_at(b"island", 1_500_000).unwrap();
    sparse.set_len(2_000_000).unwrap();
    writer.file(b"etc/sparse", &sparse, &plain).unwrap();
    writer.finish().unwrap();
    let options = CommitOptions {
        clamp_mtime: Some(1_500_000_000),
        compression: Some(compression),
    };
    store.commit_tree(tree, &empty, &options).unwrap()
}

#[test]
fn the_same_bytes_as_ever() {
    if !is_root() {
        eprintln!("skipped: needs root to set owners");
        return;
    }
    let scratch = scratch();
    for (compression, blob) in [(Compression::GZIP, GZIP), (Compression::ZSTD, ZSTD)] {
        let store = store(&scratch.path().join(format!("{compression:?}")));
        let record = golden(&store, compression);
        let seen = [
            record.diff_id.to_string(),
            record.content.to_string(),
            record.blobs[0].digest.to_string(),
        ];
        assert_eq!(seen, [TAR, CONTENT, blob], "{compression:?}");
    }
}

#[test]
fn the_same_bytes_on_one_core() {
    if !is_root() {
        eprintln!("skipped: needs root to set owners");
        return;
    }
    let scratch = scratch();
    let blob = |name: &str| {
        let store = store(&scratch.path().join(name));
        let record = golden(&store, Compression::Gzip(1));
        let again = store
            .layer_blob(&record.diff_id, Compression::Zstd(1))
            .unwrap();
        let path = store
            .root()
            .join("blobs/sha256")
            .join(record.blobs[0].digest.hex());
        (fs::read(path).unwrap(), again)
    };
    let everywhere = blob("everywhere");
    let alone = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let mut one = rustix::thread::CpuSet::new();
                let all = rustix::thread::sched_getaffinity(None).unwrap();
                one.set((0..1024).find(|core| all.is_set(*core)).unwrap());
                rustix::thread::sched_setaffinity(None, &one).unwrap();
                blob("alone")
            })
            .join()
            .unwrap()
    });
    assert!(everywhere == alone);
}
