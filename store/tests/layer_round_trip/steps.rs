//! What single steps leave.

use super::*;

#[test]
fn unchanged_parents_and_idle_marks_are_left_out() {
    let scratch = scratch();
    let store = store(scratch.path());
    let (uid, gid) = ids();
    let attributes = Attributes {
        mode: 0o750,
        uid,
        gid,
        mtime: Some((1_000, 0)),
        xattrs: Vec::new(),
    };
    let base = step(&store, &store.stack(&[]).unwrap(), |tree| {
        let mut writer =
            TreeWriter::new(tree, &kiln_store::View::open(&[], family()), family()).unwrap();
        writer
            .ensure_directory(b"usr/share/doc", &attributes, &attributes)
            .unwrap();
        writer.finish().unwrap();
    });
    let tree = store.new_tree(&base).unwrap();
    let mut writer = TreeWriter::new(&tree, &base.view(), family()).unwrap();
    writer
        .file_from(b"usr/share/doc/x", &mut &b"x"[..], &attributes)
        .unwrap();
    writer.finish().unwrap();
    // A deletion of something that never was.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.fs().join("gone"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    )
    .unwrap();
    let record = store.commit_tree(tree, &base, &PLAIN).unwrap();
    assert_eq!(record.entries, 1);
    let implied: Vec<&[u8]> = record
        .implied
        .iter()
        .map(|path| path.0.as_slice())
        .collect();
    assert_eq!(implied, [&b""[..], b"usr", b"usr/share", b"usr/share/doc"]);
    let stack = store.stack(&[base.layers()[0], record.diff_id]).unwrap();
    assert_eq!(stack.lowers().len(), 2);
    assert!(snapshot_view(&stack.view()).contains_key("usr/share/doc/x"));
}

/// A path as deep as layers take one, of which the upper half lies in a lower layer; and one too deep.
#[test]
fn deep_directories() {
    const DEPTH: usize = 511;
    let scratch = scratch();
    let store = store(scratch.path());
    let (uid, gid) = ids();
    let attributes = |mode| Attributes {
        mode,
        uid,
        gid,
        mtime: Some((1_000, 0)),
        xattrs: Vec::new(),
    };
    let path = vec!["d"; DEPTH].join("/");
    let half = vec!["d"; DEPTH / 2].join("/");
    let mut stack = store.stack(&[]).unwrap();
    for path in [&half, &path] {
        stack = step(&store, &stack, |tree| {
            let mut writer = TreeWriter::new(tree, &stack.view(), family()).unwrap();
            let mut ensure = || {
                writer
                    .ensure_directory(path.as_bytes(), &attributes(0o750), &attributes(0o711))
                    .unwrap()
            };
            assert!(ensure());
            assert!(!ensure(), "it is there now");
            writer.finish().unwrap();
        });
    }
    let view = stack.view();
    for (path, mode) in [
        (&path, 0o750),
        (&half, 0o750),
        (&path[..3].to_owned(), 0o711),
    ] {
        let entry = view
            .lookup(path.as_bytes(), kiln_store::Follow::Nothing)
            .unwrap()
            .unwrap();
        assert_eq!((entry.meta.mode, entry.meta.mtime), (mode, 1_000));
    }
    let tree = store.new_tree(&stack).unwrap();
    let mut writer = TreeWriter::new(&tree, &stack.view(), family()).unwrap();
    let path = vec!["e"; 1500].join("/");
    let plain = attributes(0o755);
    writer
        .ensure_directory(path.as_bytes(), &plain, &plain)
        .unwrap();
    writer.finish().unwrap();
    let message = store
        .commit_tree(tree, &stack, &PLAIN)
        .unwrap_err()
        .to_string();
    assert!(
        message.ends_with("holds more, deeper than layers may be"),
        "{message}"
    );
    assert!(store.collect().is_ok());
}

#[test]
fn clamped_times_are_the_same_here_and_there() {
    let scratch = scratch();
    let here = store(&scratch.path().join("here"));
    let there = store(&scratch.path().join("there"));
    let empty = here.stack(&[]).unwrap();
    let clamp = CommitOptions {
        clamp_mtime: Some(1_000_000_000),
        compression: Some(Compression::GZIP),
    };
    let commit = || {
        let tree = here.new_tree(&empty).unwrap();
        fs::create_dir(tree.fs().join("d")).unwrap();
        fs::write(tree.fs().join("d/file"), "content").unwrap();
        fs::hard_link(tree.fs().join("d/file"), tree.fs().join("d/other")).unwrap();
        symlink("file", tree.fs().join("d/link")).unwrap();
        here.commit_tree(tree, &empty, &clamp).unwrap()
    };
    let first = commit();
    assert_eq!(first, commit());
    let seen = snapshot_view(&here.stack(&[first.diff_id]).unwrap().view());
    assert!(seen.values().all(|node| node.mtime <= (1_000_000_000, 0)));
    transfer(&here, &there, &first, Compression::GZIP);
    let moved = snapshot_view(&there.stack(&[first.diff_id]).unwrap().view());
    assert_same(&comparable(seen), &comparable(moved), "clamped");
}

#[test]
fn a_file_shared_with_another_layer_keeps_its_time_there() {
    let scratch = scratch();
    let store = store(scratch.path());
    let base = step(&store, &store.stack(&[]).unwrap(), |tree| {
        fs::write(tree.fs().join("a"), "content").unwrap()
    });
    let view = base.view();
    let before = snapshot_view(&view);
    let empty = store.stack(&[]).unwrap();
    let tree = store.new_tree(&empty).unwrap();
    let mut writer = TreeWriter::new(&tree, &empty.view(), family()).unwrap();
    let entry = view.lookup(b"a", kiln_store::Follow::All).unwrap().unwrap();
    assert!(writer.adopt(b"b", &view, &entry).unwrap());
    writer.hard_link(b"c", b"b").unwrap();
    writer.finish().unwrap();
    let options = CommitOptions {
        clamp_mtime: Some(5),
        compression: None,
    };
    let record = store.commit_tree(tree, &empty, &options).unwrap();
    let after = snapshot_view(&view);
    assert_eq!(before["a"].mtime, after["a"].mtime);
    let made = snapshot_view(&store.stack(&[record.diff_id]).unwrap().view());
    assert_eq!(made["b"].mtime, (5, 0));
    assert_eq!(made["c"].same_as.as_deref(), Some("b"));
}

#[test]
fn devices_need_root() {
    let scratch = scratch();
    let store = store(scratch.path());
    let mut tar = Tar::new();
    tar.raw(b"dev/null", b'3', b"", |header| {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    });
    let record = ingest(&store, &tar.end()).unwrap();
    let seen = snapshot_view(&store.stack(&[record.diff_id]).unwrap().view());
    if is_root() {
        assert_eq!(
            (seen["dev/null"].kind, seen["dev/null"].rdev),
            ("character", 0x103)
        );
    } else {
        assert_eq!(
            (record.left_out.len(), record.left_out[0].what.as_str()),
            (1, "device")
        );
        assert!(!seen.contains_key("dev/null"));
    }
}
