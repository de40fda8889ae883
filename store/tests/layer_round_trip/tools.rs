//! Layers and archives of other tools.

use super::*;

#[test]
fn other_tools_read_our_layers() {
    if !is_root() || !has("tar") {
        return;
    }
    let mut random = Random::new("other_tools_read_our_layers");
    for _ in 0..4 {
        let scratch = scratch();
        let store = store(&scratch.path().join("store"));
        let stack = step(&store, &store.stack(&[]).unwrap(), |tree| {
            random_tree(&mut random, tree.fs(), 80)
        });
        let blob = store
            .layer_blob(&stack.layers()[0], Compression::GZIP)
            .unwrap();
        let out = scratch.path().join("out");
        fs::create_dir(&out).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-xpzf")
            .arg(store.root().join("blobs/sha256").join(blob.digest.hex()));
        tar.args([
            "--numeric-owner",
            "--same-owner",
            "--xattrs",
            "--xattrs-include=*",
            "-C",
        ])
        .arg(&out);
        run(&mut tar);
        let plain = |snapshot| {
            without(comparable(snapshot), |_, node| {
                // GNU tar doesn't set attributes of directories' own root entry, nor times of links in all versions.
                if node.kind == "symlink" {
                    node.mtime = (0, 0);
                }
            })
        };
        assert_same(
            &plain(snapshot_view(&stack.view())),
            &plain(snapshot_directory(&out)),
            "GNU tar",
        );
    }
}

#[test]
fn we_read_other_tools_archives() {
    if !has("tar") {
        return;
    }
    let mut random = Random::new("we_read_other_tools_archives");
    let scratch = scratch();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    random_tree(&mut random, &source, 80);
    let big = fs::File::create(source.join("sparse")).unwrap();
    use std::os::unix::fs::FileExt;
    for island in 0..60_u64 {
        big.write_all_at(b"island", island * 300_000 + 100_000)
            .unwrap();
    }
    big.set_len(30_000_000).unwrap();
    let sources = comparable(snapshot_directory(&source));
    for format in [
        "gnu",
        "posix",
        "gnu -S",
        "posix -S --sparse-version=0.0",
        "posix -S --sparse-version=0.1",
        "posix -S --sparse-version=1.0",
    ] {
        let store = store(
            &scratch
                .path()
                .join(format!("store-{}", format.replace([' ', '='], "-"))),
        );
        let archive = scratch.path().join("archive.tar");
        let mut tar = Command::new("tar");
        tar.arg("-cf")
            .arg(&archive)
            .args(["--numeric-owner", "--format"])
            .args(format.split(' '));
        if format.starts_with("posix") {
            tar.args(["--xattrs", "--xattrs-include=*"]);
        }
        tar.arg("-C").arg(&source).arg(".");
        let output = tar.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let record = ingest(&store, &fs::read(&archive).unwrap()).unwrap();
        let stack = store.stack(&[record.diff_id]).unwrap();
        let plain = |snapshot: &Snapshot| {
            without(snapshot.clone(), |_, node| {
                if format.starts_with("gnu") {
                    // Whole seconds only, and no attributes.
                    node.mtime.1 = 0;
                    node.xattrs.clear();
                }
            })
        };
        assert_same(
            &plain(&sources),
            &plain(&comparable(snapshot_view(&stack.view()))),
            format,
        );
        let stored = stack.lowers()[0].join("sparse");
        assert!(
            fs::metadata(&stored).unwrap().blocks() * 512 < 10_000_000,
            "{format}: holes are kept"
        );
    }
}
