//! What a step leaves becomes a layer, travels, and looks the same everywhere.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln_store::{
    Attributes, CommitOptions, Compression, DiffId, NewTree, Stack, Store, TreeWriter,
};
use support::*;

const PLAIN: CommitOptions = CommitOptions {
    clamp_mtime: None,
    compression: None,
};

/// Commits what `fill` does to a tree above a stack, and gives the stack with it.
fn step(store: &Store, below: &Stack, fill: impl FnOnce(&NewTree)) -> Stack {
    let tree = store.new_tree(below).unwrap();
    fill(&tree);
    let record = store.commit_tree(tree, below, &PLAIN).unwrap();
    let layers: Vec<DiffId> = below
        .layers()
        .iter()
        .copied()
        .chain([record.diff_id])
        .collect();
    store.stack(&layers).unwrap()
}

fn random_tree(random: &mut Random, root: &Path, budget: usize) {
    let mut directories = vec![root.to_owned()];
    for number in 0..budget {
        let directory = directories[random.below(directories.len())].clone();
        mutate_once(random, &directory, number, &mut directories);
    }
}

fn name(random: &mut Random, number: usize) -> PathBuf {
    match random.below(12) {
        0 => PathBuf::from(format!("{}-{number}", "long".repeat(40))),
        1 => PathBuf::from(std::ffi::OsStr::from_bytes(&[
            b'n',
            0xff,
            0xfe,
            b'0' + (number % 10) as u8,
        ])),
        2 => PathBuf::from(format!("ünïcode {number}\n\\x")),
        _ => PathBuf::from(format!("n{}", random.below(40))),
    }
}

/// One random thing done to a directory that is mounted or plain.
fn mutate_once(
    random: &mut Random,
    directory: &Path,
    number: usize,
    directories: &mut Vec<PathBuf>,
) {
    let path = directory.join(name(random, number));
    let exists = fs::symlink_metadata(&path).is_ok();
    if exists && random.chance(60) {
        change(random, &path);
        directories.retain(|known| known.exists());
        if directories.is_empty() {
            directories.push(directory.to_owned());
        }
        return;
    }
    if exists || !directory.is_dir() {
        return;
    }
    match random.below(10) {
        0..=2 => {
            fs::create_dir(&path).unwrap();
            directories.push(path.clone());
        }
        3 => symlink(["../x", "/etc/passwd", "n1"][random.below(3)], &path).unwrap(),
        4 => {
            let others: Vec<PathBuf> = files(directory);
            if others.is_empty() {
                return;
            }
            fs::hard_link(&others[random.below(others.len())], &path).unwrap();
        }
        5 => run(Command::new("mkfifo").arg(&path)),
        6 if is_root() => {
            run(Command::new("mknod").arg(&path).args([
                "c",
                "1",
                &format!("{}", 1 + random.below(250)),
            ]));
        }
        7 => {
            let file = fs::File::create(&path).unwrap();
            file.set_len(300_000 + random.below(1000) as u64).unwrap();
            use std::os::unix::fs::FileExt;
            file.write_all_at(b"island", 200_000).unwrap();
        }
        _ => {
            let length = random.below(3000);
            fs::write(&path, random.bytes(length)).unwrap();
        }
    }
    dress(random, &path);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| fs::symlink_metadata(path).unwrap().is_file())
        .collect();
    files.sort();
    files
}

fn change(random: &mut Random, path: &Path) {
    let meta = fs::symlink_metadata(path).unwrap();
    match random.below(4) {
        0 if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        0 => fs::remove_file(path).unwrap(),
        1 if meta.is_dir() => {
            // A directory replaced by a file, and back by an emptier one.
            fs::remove_dir_all(path).unwrap();
            if random.chance(50) {
                fs::write(path, "was a directory").unwrap();
            } else {
                fs::create_dir(path).unwrap();
                fs::write(path.join("new"), "new").unwrap();
            }
        }
        1 => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("inside"), "was a file").unwrap();
        }
        2 if meta.is_file() => fs::write(path, random.bytes(100)).unwrap(),
        _ => dress(random, path),
    }
}

fn dress(random: &mut Random, path: &Path) {
    let meta = fs::symlink_metadata(path).unwrap();
    if !meta.is_symlink() {
        let modes = [0o755, 0o4711, 0o2750, 0o1777, 0o700];
        if is_root() && random.chance(30) {
            let id = [0, 33, 65534, 3_000_000][random.below(4)];
            std::os::unix::fs::chown(path, Some(id), Some(id / 2)).unwrap();
        }
        fs::set_permissions(path, fs::Permissions::from_mode(modes[random.below(5)])).unwrap();
        let is_plain = meta.is_file() || meta.is_dir();
        if is_plain && random.chance(20) {
            let value = random.bytes(40);
            rustix::fs::setxattr(path, "user.test", &value, rustix::fs::XattrFlags::empty())
                .unwrap();
        }
        if is_root() && meta.is_file() && random.chance(10) {
            let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            rustix::fs::setxattr(
                path,
                "security.capability",
                &capability,
                rustix::fs::XattrFlags::empty(),
            )
            .unwrap();
        }
    }
    if random.chance(40) {
        let time = rustix::fs::Timespec {
            tv_sec: random.below(2_000_000_000) as i64 - 1000,
            tv_nsec: [0, 5, 120_000_000][random.below(3)],
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
}

/// The time of the root is nobody's.
fn comparable(snapshot: Snapshot) -> Snapshot {
    without(snapshot, |name, node| {
        if name == "/" {
            node.mtime = (0, 0);
        }
    })
}

/// A step through a real overlay mount. What was seen in the mount is given back.
fn mounted_step(
    store: &Store,
    below: &Stack,
    point: &Path,
    work: impl FnOnce(&Path),
) -> (Stack, Snapshot) {
    let mut seen = Snapshot::new();
    let stack = step(store, below, |tree| {
        let mounted =
            Mounted::stack(below.lowers(), Some((tree.fs(), tree.work())), point).unwrap();
        work(mounted.path());
        seen = comparable(snapshot_directory(mounted.path()));
    });
    (stack, seen)
}

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
    }
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
