//! `ADD` of local archives.

use std::fs;
use std::io::Write as _;

use crate::lab::lab;

/// A tar with a file, a directory of another owner, a link, a hard link and a setuid program.
fn sample() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str,
                   kind: tar::EntryType,
                   mode: u32,
                   uid: u64,
                   content: &[u8],
                   link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_mtime(1_000);
        header.set_size(content.len() as u64);
        match link {
            Some(target) => builder
                .append_link(&mut header, name, target)
                .expect("a link"),
            None => builder
                .append_data(&mut header, name, content)
                .expect("an entry"),
        }
    };
    add("a", tar::EntryType::Regular, 0o640, 0, b"1", None);
    add("d/", tar::EntryType::Directory, 0o711, 7, b"", None);
    add("d/suid", tar::EntryType::Regular, 0o4755, 7, b"2", None);
    add("implied/x", tar::EntryType::Regular, 0o644, 0, b"3", None);
    add("link", tar::EntryType::Symlink, 0o777, 0, b"", Some("d"));
    add("hard", tar::EntryType::Link, 0o640, 0, b"", Some("a"));
    builder.into_inner().expect("a tar")
}

const EXPECTED: [&str; 8] = [
    "755 x/",
    "640 x/a=1",
    "711 7:7 x/d/",
    "4755 7:7 x/d/suid=2",
    "640 x/hard=1",
    "755 x/implied/",
    "644 x/implied/x=3",
    "777 x/link->d",
];

#[test]
fn by_content_whatever_the_name() {
    let Some(lab) = lab() else { return };
    let tar = sample();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).expect("memory");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&tar).expect("memory");
    let zstd = zstd::encode_all(&tar[..], 1).expect("memory");
    let gzip = gzip.finish().expect("memory");
    for content in [tar, gzip, bzip2.finish().expect("memory"), zstd] {
        fs::write(lab.context.join("plain.name"), content).expect("a file");
        lab.check("FROM scratch\nADD plain.name /x\n", &EXPECTED);
    }
}

#[test]
fn xz_as_written_by_xz() {
    let Some(lab) = lab() else { return };
    fs::write(lab.context.join("t"), sample()).expect("a file");
    let Ok(done) = std::process::Command::new("xz")
        .arg(lab.context.join("t"))
        .status()
    else {
        println!("skipped: needs xz");
        return;
    };
    assert!(done.success());
    lab.check("FROM scratch\nADD t.xz /x/\n", &EXPECTED);
}

#[test]
fn what_is_no_archive_is_copied() {
    let Some(lab) = lab() else { return };
    lab.with(&["empty.tar=", "text.tar.gz=hello"]);
    lab.check(
        "FROM scratch\nADD empty.tar text.tar.gz /x/\n",
        &["755 x/", "644 x/empty.tar=", "644 x/text.tar.gz=hello"],
    );
    fs::write(lab.context.join("t"), sample()).expect("a file");
    let kept = lab.tree(&lab.build("FROM scratch\nADD --unpack=false t /x\n"));
    assert!(kept.starts_with("644 x=a\0"), "{kept}");
    let copied = lab.tree(&lab.build("FROM scratch\nCOPY t /x\n"));
    assert!(copied.starts_with("644 x=a\0"), "{copied}");
}

#[test]
fn owners_and_what_is_there_already() {
    let Some(lab) = lab() else { return };
    fs::write(lab.context.join("t"), sample()).expect("a file");
    let tree = lab.tree(&lab.build("FROM scratch\nADD --chown=5:6 t /x\n"));
    assert!(tree.lines().all(|line| line.contains(" 5:6 ")), "{tree}");
    // Directories make room for files and the other way round; directories that stay are merged.
    lab.with(&["pre/a/old=1", "pre/d/kept=3"]);
    let tree = lab.tree(&lab.build("FROM scratch\nCOPY pre /x\nADD t /x\n"));
    assert!(
        tree.contains("640 x/a=1\n711 7:7 x/d/\n644 x/d/kept=3\n"),
        "{tree}"
    );
}
