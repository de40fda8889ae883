//! Random trees and changes, from seeds that are printed.

use super::*;

#[test]
fn random_changes_through_overlay_survive() {
    if !is_root() {
        eprintln!("skipped: needs root to mount an overlay");
        return;
    }
    let mut random = Random::new("random_changes_through_overlay_survive");
    for _ in 0..12 {
        let scratch = scratch();
        let here = store(&scratch.path().join("here"));
        let there = store(&scratch.path().join("there"));
        let point = scratch.path().join("mnt");
        let base = step(&here, &here.stack(&[]).unwrap(), |tree| {
            random_tree(&mut random, tree.fs(), 60)
        });
        let mut stack = base;
        let mut seen = Snapshot::new();
        for _ in 0..3 {
            (stack, seen) = mounted_step(&here, &stack, &point, |root| {
                random_tree(&mut random, root, 25)
            });
        }
        assert_same(
            &seen,
            &comparable(snapshot_view(&stack.view())),
            "the view of the stack",
        );
        let again = Mounted::stack(stack.lowers(), None, &scratch.path().join("again")).unwrap();
        // Inodes of merged lower directories say nothing here, so names of the same file are compared by the view.
        assert_same(
            &seen,
            &comparable(snapshot_directory(again.path())),
            "the stack mounted again",
        );
        drop(again);
        for (number, layer) in stack.layers().iter().enumerate() {
            let record = here.layer(layer).unwrap().unwrap();
            let compression = [Compression::None, Compression::GZIP, Compression::ZSTD][number % 3];
            let received = transfer(&here, &there, &record, compression);
            assert_eq!(
                (received.diff_id, received.entries),
                (record.diff_id, record.entries)
            );
        }
        let moved = there.stack(stack.layers()).unwrap();
        assert_same(
            &seen,
            &comparable(snapshot_view(&moved.view())),
            "the stack in another store",
        );
        let tars: Vec<Vec<u8>> = stack.layers().iter().map(|it| archive(&here, it)).collect();
        if let Some(unpacked) = umoci::unpacked(scratch.path(), &tars) {
            let plain = |snapshot| umoci::plain(comparable(snapshot));
            assert_same(
                &plain(snapshot_view(&stack.view())),
                &plain(unpacked),
                "umoci",
            );
        }
    }
}

/// A layer as it travels.
fn archive(store: &Store, layer: &DiffId) -> Vec<u8> {
    let blob = store.layer_blob(layer, Compression::None).unwrap();
    store.read_blob(&blob.digest, u64::MAX).unwrap()
}

#[test]
fn written_trees_are_what_was_written() {
    let mut random = Random::new("written_trees_are_what_was_written");
    for _ in 0..10 {
        let scratch = scratch();
        let store = store(&scratch.path().join("store"));
        let model = scratch.path().join("model");
        fs::create_dir(&model).unwrap();
        let (uid, gid) = ids();
        let mut stack = store.stack(&[]).unwrap();
        for _ in 0..4 {
            stack = step(&store, &stack, |tree| {
                let mut writer = TreeWriter::new(tree, &stack.view(), family()).unwrap();
                for _ in 0..30 {
                    write_once(&mut random, &mut writer, &model, uid, gid);
                }
                writer.finish().unwrap();
            });
            let plain = |snapshot| {
                without(snapshot, |_, node| {
                    node.same_as = None;
                    if node.kind == "directory" {
                        node.mtime = (0, 0);
                    }
                })
            };
            assert_same(
                &plain(snapshot_directory(&model)),
                &plain(snapshot_view(&stack.view())),
                "model and store",
            );
        }
    }
}

/// The same change to a plain directory and to a tree in the making.
fn write_once(random: &mut Random, writer: &mut TreeWriter, model: &Path, uid: u32, gid: u32) {
    let path = format!(
        "d{}/e{}/f{}",
        random.below(3),
        random.below(2),
        random.below(4)
    );
    let depth = random.below(3) + 1;
    let path: String = path.split('/').take(depth).collect::<Vec<_>>().join("/");
    let at = model.join(&path);
    let attributes = Attributes {
        mode: 0o751,
        uid,
        gid,
        mtime: Some((1_500_000_000, 7)),
        xattrs: Vec::new(),
    };
    let parent = Path::new(&path).parent().unwrap();
    if random.chance(25) {
        writer.remove(path.as_bytes()).unwrap();
        if fs::symlink_metadata(&at).is_ok_and(|meta| meta.is_dir()) {
            fs::remove_dir_all(&at).unwrap();
        } else {
            let _ = fs::remove_file(&at);
        }
        return;
    }
    let blocked = model.join(parent).ancestors().any(|above| {
        above.starts_with(model) && fs::symlink_metadata(above).is_ok_and(|meta| !meta.is_dir())
    });
    if blocked {
        assert!(
            writer
                .ensure_directory(parent.as_os_str().as_bytes(), &attributes, &attributes)
                .is_err()
        );
        return;
    }
    writer
        .ensure_directory(parent.as_os_str().as_bytes(), &attributes, &attributes)
        .unwrap();
    for above in parent.ancestors().collect::<Vec<_>>().iter().rev() {
        if !above.as_os_str().is_empty() && !model.join(above).exists() {
            fs::create_dir(model.join(above)).unwrap();
            fs::set_permissions(model.join(above), fs::Permissions::from_mode(0o751)).unwrap();
        }
    }
    let existing = fs::symlink_metadata(&at).ok();
    match random.below(3) {
        0 => {
            if existing.as_ref().is_some_and(|meta| meta.is_dir()) {
                fs::remove_dir_all(&at).unwrap();
            } else if existing.is_some() {
                fs::remove_file(&at).unwrap();
            }
            writer
                .symlink(path.as_bytes(), b"somewhere", &attributes)
                .unwrap();
            symlink("somewhere", &at).unwrap();
            set_time(&at);
        }
        1 => {
            if existing.as_ref().is_some_and(|meta| meta.is_dir()) {
                fs::remove_dir_all(&at).unwrap();
            } else if existing.is_some() {
                fs::remove_file(&at).unwrap();
            }
            let content = random.bytes(50);
            writer
                .file_from(path.as_bytes(), &mut &content[..], &attributes)
                .unwrap();
            fs::write(&at, &content).unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o751)).unwrap();
            set_time(&at);
        }
        _ => {
            writer
                .replace_with_directory(path.as_bytes(), &attributes)
                .unwrap();
            if existing.as_ref().is_some_and(|meta| meta.is_dir()) {
                fs::remove_dir_all(&at).unwrap();
            } else if existing.is_some() {
                fs::remove_file(&at).unwrap();
            }
            fs::create_dir(&at).unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o751)).unwrap();
        }
    }
}

fn set_time(path: &Path) {
    let time = rustix::fs::Timespec {
        tv_sec: 1_500_000_000,
        tv_nsec: 7,
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
}
