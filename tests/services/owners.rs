//! Images of a user with one id alone: their layers have the owners that root would have given them.

use std::collections::BTreeMap;
use std::fs::File;

use crate::host::Host;

/// Path, and what is compared of it: owner, group, mode, kind, target of a link, names of extended attributes.
type Listing = BTreeMap<String, (u64, u64, u32, u8, String, Vec<String>)>;

/// Builds an application in both stores and compares what is in the layers.
pub fn alike(lone: &Host, root: &Host, name: &str) {
    let (one, other) = (lone.build(name), root.build(name));
    let (found, expected) = (listing(lone, &one.name), listing(root, &other.name));
    let differing: Vec<_> = expected
        .iter()
        .filter(|(path, facts)| found.get(*path) != Some(*facts))
        .map(|(path, facts)| format!("{path}: {facts:?}, not {:?}", found.get(path)))
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(found.len(), expected.len());
    let owned = expected
        .values()
        .filter(|facts| (facts.0, facts.1) != (0, 0));
    assert!(owned.count() > 10, "the test compares owners");
}

/// The entries of all layers; of those with the same path, the topmost.
fn listing(host: &Host, image: &str) -> Listing {
    let archive = host.scratch().join(format!("{image}.tar"));
    host.ok(&["save", "--output", archive.to_str().unwrap(), image]);
    let directory = host.scratch().join(format!("{image}-saved"));
    let mut saved = tar::Archive::new(File::open(&archive).unwrap());
    saved.unpack(&directory).unwrap();
    let manifest = std::fs::read(directory.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let mut listing = Listing::new();
    for layer in manifest[0]["Layers"].as_array().unwrap() {
        let layer = File::open(directory.join(layer.as_str().unwrap())).unwrap();
        for entry in tar::Archive::new(layer).entries().unwrap() {
            let mut entry = entry.unwrap();
            let attributes = entry.pax_extensions().unwrap().into_iter().flatten();
            let attributes = attributes
                .filter_map(|pair| pair.unwrap().key().ok().map(str::to_owned))
                .filter(|key| key.starts_with("SCHILY.xattr."))
                .collect();
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            let header = entry.header();
            let facts = (
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mode().unwrap(),
                header.entry_type().as_byte(),
                target,
                attributes,
            );
            listing.insert(path, facts);
        }
    }
    std::fs::remove_file(archive).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    listing
}
