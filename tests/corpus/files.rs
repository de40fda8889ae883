//! The files of a context, made from the sections of a case.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

/// Makes what a header says; `place` is its first word without the context's name.
pub fn make(root: &Path, place: &str, words: &[&str], body: &str) {
    let path = root.join(place.trim_end_matches('/'));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).unwrap();
    }
    let usual = match words {
        ["->", target] => return symlink(target, &path).unwrap(),
        ["=", other] => return fs::hard_link(root.join(other), &path).unwrap(),
        ["|", "pipe"] => {
            let mode = Mode::from_raw_mode(0o644);
            return mknodat(CWD, &path, FileType::Fifo, mode, 0).unwrap();
        }
        [format @ ("tar" | "gzip" | "bzip2" | "xz" | "zstd"), ..] => {
            fs::write(&path, packed(&archive(body), format)).unwrap();
            0o644
        }
        _ if place.ends_with('/') => {
            fs::create_dir_all(&path).unwrap();
            0o755
        }
        words => {
            let bare = words.contains(&"bare");
            let content = if bare {
                body.strip_suffix('\n').unwrap_or(body)
            } else {
                body
            };
            fs::write(&path, content).unwrap();
            0o644
        }
    };
    let mode = words
        .iter()
        .find_map(|word| u32::from_str_radix(word, 8).ok());
    fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(usual))).unwrap();
    for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
        let name = CString::new(name).unwrap();
        setxattr(
            &path,
            name.as_c_str(),
            value.as_bytes(),
            XattrFlags::empty(),
        )
        .unwrap();
    }
}

/// A tar: `dir/`, `file=content`, `link->target`, `name=>other` for another name; then mode and `uid:gid`, separated by blanks.
fn archive(body: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for line in body.lines() {
        let mut words = line.split(' ');
        let entry = words.next().unwrap();
        let mut header = tar::Header::new_gnu();
        let (mut mode, mut owner) = (None, (0, 0));
        for word in words {
            match word.split_once(':') {
                Some((uid, gid)) => owner = (uid.parse().unwrap(), gid.parse().unwrap()),
                None => mode = Some(u32::from_str_radix(word, 8).unwrap()),
            }
        }
        header.set_mtime(1_000_000_000);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_size(0);
        if let Some((name, target)) = entry.split_once("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(mode.unwrap_or(0o777));
            builder.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, other)) = entry.split_once("=>") {
            header.set_entry_type(tar::EntryType::Link);
            header.set_mode(mode.unwrap_or(0o644));
            builder.append_link(&mut header, name, other).unwrap();
        } else if entry.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(mode.unwrap_or(0o755));
            append(&mut builder, &mut header, entry, &[]);
        } else {
            let (name, content) = entry.split_once('=').unwrap();
            header.set_mode(mode.unwrap_or(0o644));
            header.set_size(content.len() as u64);
            append(&mut builder, &mut header, name, content.as_bytes());
        }
    }
    builder.into_inner().unwrap()
}

/// Names that the library refuses are written all the same: hostile archives have them.
fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    header: &mut tar::Header,
    name: &str,
    content: &[u8],
) {
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    builder.append(header, content).unwrap();
}

fn packed(bytes: &[u8], format: &str) -> Vec<u8> {
    if format == "tar" {
        return bytes.to_vec();
    }
    let mut child = Command::new(format)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}
