//! What comes from registries, changed at random: names of images, manifests, indexes, configurations, and layers that are unpacked.
//! Every day for a moment; `cargo xtask soak --only fuzz-store` for minutes.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use kiln_store::{
    Descriptor, DiffId, Digest, ImageConfig, Index, Manifest, ManifestKind, Platform, Reference,
    Store, media_type,
};
use support::{Random, store};
use tar::EntryType as Type;

/// How long each test takes, unless the soak says otherwise.
const SECONDS: u64 = 1;

/// Layers until the store is thrown away, so that memory stays free.
const LAYERS: u32 = 200;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seconds() -> Duration {
    Duration::from_secs(setting("KILN_FUZZ_SECONDS").unwrap_or(SECONDS))
}

/// A few small changes: bits, bytes, pieces cut out, doubled, or put in from `words`.
fn change(random: &mut Random, bytes: &mut Vec<u8>, words: &[&[u8]]) {
    for _ in 0..=random.below(4) {
        let place = random.below(bytes.len() + 1);
        let end = (place + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
            1 if place < bytes.len() => bytes[place] = random.bytes(1)[0],
            2 => drop(bytes.drain(place..end)),
            3 => {
                let piece = bytes[place..end].to_vec();
                bytes.splice(place..place, piece);
            }
            4 => {
                let word = words[random.below(words.len())];
                let over = (place + word.len()).min(bytes.len());
                bytes.splice(place..over, word.iter().copied());
            }
            _ => {
                let word = words[random.below(words.len())];
                bytes.splice(place..place, word.iter().copied());
            }
        }
    }
}

#[test]
fn names_of_images() {
    const NAMES: [&str; 6] = [
        "alpine",
        "docker.io/library/alpine:3.20",
        "localhost:5000/a/b_c/d--e.f:tag-1.2_3",
        "registry.example.com:443/team/app@sha256:b5f019453911a3bea9a5cf49ffafad11a98d9242e824cfcc588fbee270cd2170",
        "[::1]:5000/x:y",
        "a/b:c@sha512:00",
    ];
    const WORDS: [&[u8]; 12] = [
        b":", b"/", b"@", b"..", b"//", b"sha256:", b"[", b"]", b"-", b"_", b"\0", b"A",
    ];
    let mut random = Random::new("fuzz");
    let (mut count, mut good) = (0_u64, 0_u64);
    let started = Instant::now();
    while started.elapsed() < seconds() {
        let mut bytes = NAMES[random.below(NAMES.len())].as_bytes().to_vec();
        change(&mut random, &mut bytes, &WORDS);
        let text = String::from_utf8_lossy(&bytes);
        count += 1;
        if let Ok(reference) = text.parse::<Reference>() {
            good += 1;
            // Whatever is taken for a name has one form, which says the same, and leads nowhere.
            let shown = reference.to_string();
            assert_eq!(shown.parse::<Reference>().unwrap(), reference, "{text}");
            let familiar = reference.familiar();
            assert_eq!(familiar.parse::<Reference>().unwrap(), reference, "{text}");
            let odd = reference
                .path()
                .split('/')
                .any(|part| part.is_empty() || part.starts_with('.'));
            assert!(!odd, "{text}");
        }
        let _ = text.parse::<Digest>();
        let _ = text.parse::<Platform>();
    }
    println!("counted {count} names, {good} of them valid");
}

#[test]
fn manifests_and_configurations() {
    const WORDS: [&[u8]; 14] = [
        b"null",
        b"-1",
        b"1e309",
        b"18446744073709551616",
        b"\"\"",
        b"[]",
        b"{}",
        b"\"layers\"",
        b"\"\\ud800\"",
        b"[[[[[[[[",
        b"\"sha256:\"",
        b"\"size\":",
        b"true",
        b"\xff",
    ];
    let digest = Digest::sha256(b"x");
    let descriptor = Descriptor::new(media_type::OCI_LAYER_GZIP, digest, 7);
    let mut config = ImageConfig::new(&Platform::host());
    config.rootfs.diff_ids.push(DiffId(digest));
    config.config.env = vec!["PATH=/bin".to_owned()];
    let descriptors = vec![descriptor.clone(); 2];
    let corpus = [
        config.to_bytes().unwrap(),
        Manifest::new(ManifestKind::Oci, descriptor.clone(), descriptors.clone())
            .to_bytes()
            .unwrap(),
        Index::new(ManifestKind::Oci, descriptors)
            .to_bytes()
            .unwrap(),
    ];
    let mut random = Random::new("fuzz");
    let (mut count, mut good) = (0_u64, 0_u64);
    let started = Instant::now();
    while started.elapsed() < seconds() {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        change(&mut random, &mut bytes, &WORDS);
        count += 1;
        if let Ok(config) = serde_json::from_slice::<ImageConfig>(&bytes) {
            good += 1;
            let again = config.to_bytes().unwrap();
            let read = serde_json::from_slice::<ImageConfig>(&again).unwrap();
            assert_eq!(read.to_bytes().unwrap(), again);
        }
        if let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) {
            good += 1;
            let again = manifest.to_bytes().unwrap();
            serde_json::from_slice::<Manifest>(&again).unwrap();
        }
        if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
            good += 1;
            let again = index.to_bytes().unwrap();
            serde_json::from_slice::<Index>(&again).unwrap();
        }
    }
    println!("counted {count} documents, {good} of them readable");
}

/// A tar with some of everything.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind: Type, name: &str, link: Option<&str>, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        match link {
            Some(target) => builder.append_link(&mut header, name, target).unwrap(),
            None => builder.append_data(&mut header, name, content).unwrap(),
        }
    };
    add(Type::Directory, "dir/", None, b"");
    add(Type::Regular, "dir/file", None, b"content of a file\n");
    add(Type::Symlink, "way", Some("dir"), b"");
    add(Type::Symlink, "out", Some("../../../canary"), b"");
    add(Type::Link, "hard", Some("dir/file"), b"");
    add(
        Type::Regular,
        &format!("{}/long", "d".repeat(120)),
        None,
        b"long name",
    );
    add(Type::Regular, "dir/.wh.gone", None, b"");
    add(Type::Fifo, "pipe", None, b"");
    add(
        Type::XHeader,
        "pax",
        None,
        b"30 mtime=1350244992.023960108\n",
    );
    add(Type::Regular, "after-pax", None, b"times");
    builder.into_inner().unwrap()
}

fn take(store: &Store, blob: &[u8], tar: &[u8], kind: &str) -> bool {
    let descriptor = Descriptor::new(kind, Digest::sha256(blob), blob.len() as u64);
    let expected = DiffId(Digest::sha256(tar));
    let taken = store.ingest_layer(&mut &blob[..], &descriptor, &expected, &Default::default());
    taken.is_ok()
}

/// What lies beside the store, names and contents.
fn beside(directory: &Path) -> Vec<(String, usize)> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let size = fs::read(entry.path()).map_or(0, |content| content.len());
            (entry.file_name().to_string_lossy().into_owned(), size)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn layers() {
    const WORDS: [&[u8]; 12] = [
        b"../",
        b"/",
        b"\0",
        b"ustar",
        b"../../../canary",
        b"way/canary",
        b"0777",
        b"77777777777",
        b"\x80\0\0\0\0\0\0\x7f",
        b".wh.",
        b".wh..wh..opq",
        b"GNU.sparse.size=9",
    ];
    let directory = support::scratch();
    fs::write(directory.path().join("canary"), "outside").unwrap();
    let root = directory.path().join("store");
    fs::create_dir(&root).unwrap();
    let before = beside(directory.path());
    let whole = archive();
    let mut random = Random::new("fuzz");
    let (mut count, mut good) = (0_u64, 0_u64);
    let started = Instant::now();
    while started.elapsed() < seconds() {
        let here = store(&root);
        for _ in 0..LAYERS {
            let mut tar = whole.clone();
            change(&mut random, &mut tar, &WORDS);
            good += u64::from(take(&here, &tar, &tar, media_type::OCI_LAYER));
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&whole).unwrap();
            let mut blob = gzip.finish().unwrap();
            change(&mut random, &mut blob, &WORDS);
            good += u64::from(take(&here, &blob, &whole, media_type::OCI_LAYER_GZIP));
            count += 2;
        }
        assert_eq!(
            beside(directory.path()),
            before,
            "something got out of the store"
        );
        // What this process holds for as long as it runs, and nothing else.
        let held = |name: &str| name.starts_with("process-");
        let left = beside(&root.join("tmp"));
        assert!(left.iter().all(|(name, _)| held(name)), "{left:?}");
        drop(here);
        fs::remove_dir_all(&root).unwrap();
        fs::create_dir(&root).unwrap();
    }
    println!("counted {count} layers, {good} of them taken");
}
