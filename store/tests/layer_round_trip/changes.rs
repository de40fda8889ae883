//! Random changes to a tree, and the steps that make them.

use super::*;

pub(crate) fn random_tree(random: &mut Random, root: &Path, budget: usize) {
    let mut directories = vec![root.to_owned()];
    for number in 0..budget {
        let directory = directories[random.below(directories.len())].clone();
        mutate_once(random, &directory, number, &mut directories);
    }
}

pub(crate) fn name(random: &mut Random, number: usize) -> PathBuf {
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
pub(crate) fn mutate_once(
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

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| fs::symlink_metadata(path).unwrap().is_file())
        .collect();
    files.sort();
    files
}

pub(crate) fn change(random: &mut Random, path: &Path) {
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

pub(crate) fn dress(random: &mut Random, path: &Path) {
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
        if is_plain && random.chance(10) {
            set_acl(path, "system.posix_acl_access");
        }
        if meta.is_dir() && random.chance(10) {
            set_acl(path, "system.posix_acl_default");
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

/// An access control list with an entry for another user, as the kernel takes it (`linux/posix_acl_xattr.h`).
fn set_acl(path: &Path, kind: &str) {
    let nobody = u32::MAX;
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (0x01_u16, 7_u16, nobody),
        (0x02, 5, 33),
        (0x04, 5, nobody),
        (0x10, 5, nobody),
        (0x20, 0, nobody),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    rustix::fs::setxattr(path, kind, &bytes, rustix::fs::XattrFlags::empty()).unwrap();
}

/// The time of the root is nobody's.
pub(crate) fn comparable(snapshot: Snapshot) -> Snapshot {
    without(snapshot, |name, node| {
        if name == "/" {
            node.mtime = (0, 0);
        }
    })
}

/// A step through a real overlay mount. What was seen in the mount is given back.
pub(crate) fn mounted_step(
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
