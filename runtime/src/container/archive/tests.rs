use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;

const OPTIONS: UnpackOptions = UnpackOptions {
    owner: Owner::Caller,
    privileged: true,
    of_root: false,
};

fn packed(directory: &Path, name: &str, shown: &str) -> Vec<u8> {
    let held = File::open(directory).unwrap();
    let mut archive = Vec::new();
    pack(
        held.as_fd(),
        name.as_bytes(),
        shown.as_bytes(),
        PackOptions::default(),
        &mut archive,
    )
    .unwrap();
    archive
}

fn unpacked(
    root: &Path,
    base: &str,
    archive: &[u8],
    options: UnpackOptions,
) -> crate::container::Result<u64> {
    let held = File::open(root).unwrap();
    unpack(held.as_fd(), base.as_bytes(), &mut &archive[..], options)
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let from = tempfile::tempdir().unwrap();
    let tree = from.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/file"), "content").unwrap();
    fs::hard_link(tree.join("a/file"), tree.join("a/other")).unwrap();
    symlink("a/file", tree.join("link")).unwrap();
    let long = "n".repeat(200);
    fs::write(tree.join(&long), vec![7; 100_000]).unwrap();
    fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o500)).unwrap();
    let archive = packed(from.path(), "tree", "new");
    let to = tempfile::tempdir().unwrap();
    assert_eq!(unpacked(to.path(), "", &archive, OPTIONS).unwrap(), 100_007);
    let new = to.path().join("new");
    assert_eq!(fs::read_to_string(new.join("link")).unwrap(), "content");
    assert_eq!(fs::read(new.join(&long)).unwrap().len(), 100_000);
    let inode = |name: &str| fs::metadata(new.join(name)).unwrap().ino();
    assert_eq!(inode("a/file"), inode("a/other"));
    assert_eq!(
        fs::metadata(new.join("a/b")).unwrap().mode() & 0o7777,
        0o500
    );
    assert_eq!(packed(to.path(), "new", "new"), archive);
}

#[test]
fn links_in_the_tree_lead_nowhere_outside() {
    let outside = tempfile::tempdir().unwrap();
    let from = tempfile::tempdir().unwrap();
    fs::create_dir_all(from.path().join("dir")).unwrap();
    fs::write(from.path().join("dir/file"), "x").unwrap();
    let archive = packed(from.path(), "dir", "dir");
    let to = tempfile::tempdir().unwrap();
    // A link to a directory outside in the way, as a container may have left it.
    fs::create_dir(to.path().join("sub")).unwrap();
    symlink(outside.path(), to.path().join("sub/dir")).unwrap();
    let refused = unpacked(to.path(), "sub", &archive, OPTIONS).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("cannot overwrite non-directory"),
        "{refused}"
    );
    symlink(outside.path(), to.path().join("way")).unwrap();
    assert!(unpacked(to.path(), "way", &archive, OPTIONS).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn hostile_archives_are_refused() {
    let to = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let archive = |kind: tar::EntryType, name: &[u8], link: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_mode(0o4755);
        header.set_mtime(1);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let plain = UnpackOptions {
        owner: Owner::Caller,
        privileged: false,
        of_root: false,
    };
    use tar::EntryType::{Block, Link, Regular, Symlink};
    assert!(unpacked(to.path(), "", &archive(Regular, b"../up", b""), OPTIONS).is_err());
    assert!(unpacked(to.path(), "", &archive(Block, b"disk", b""), plain).is_err());
    assert!(
        unpacked(
            to.path(),
            "",
            &archive(Link, b"hard", b"../../etc/passwd"),
            OPTIONS
        )
        .is_err()
    );
    // A link, then a file behind it.
    let target = outside.path().to_str().unwrap().as_bytes().to_vec();
    let mut both = archive(Symlink, b"out", &target);
    both.extend(archive(Regular, b"out/file", b""));
    assert!(unpacked(to.path(), "", &both, OPTIONS).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    unpacked(to.path(), "", &archive(Regular, b"/program", b""), plain).unwrap();
    let mode = fs::metadata(to.path().join("program")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755, "no set-user-id bit on the host");
}
