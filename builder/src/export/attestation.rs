//! Statements about an image beside it in an index, as BuildKit stores them (its attestation-storage.md): a manifest for no
//! platform, whose layers are in-toto statements and whose annotations name the image.

use std::collections::BTreeMap;

use kiln_store::{
    Descriptor, Digest, Image, Manifest, ManifestKind, Platform, Reference, Store, media_type,
};
use serde_json::{Value, json};

use super::BuiltTarget;
use crate::error::BuildError;

/// What marks the manifest in the index, and the image that it is about.
const KIND: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");
const ABOUT: &str = "vnd.docker.reference.digest";
/// One statement (in-toto attestation, `envelope.md`), and what says on the layer of which kind it is.
const STATEMENT: &str = "application/vnd.in-toto+json";
const PREDICATE: &str = "in-toto.io/predicate-type";

/// What is stated of the images of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The kind of statement, a URI.
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
    /// The names of the images.
    pub names: Vec<Reference>,
}

/// Stores the manifest that makes this statement of an image; returns its entry in the index.
pub(super) fn attest(
    store: &Store,
    image: &Image,
    target: &BuiltTarget,
    attestation: &Attestation,
) -> Result<Descriptor, BuildError> {
    let failed = |error: &dyn std::fmt::Display| {
        BuildError::host("cannot store the attestation of the image", error)
    };
    let put = |media_type: &str, bytes: &[u8]| -> Result<Descriptor, BuildError> {
        let digest = store.put_blob(bytes).map_err(|error| failed(&error))?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    };
    let statement = serde_json::to_vec(&statement(image, target, attestation))
        .map_err(|error| failed(&error))?;
    let mut layer = put(STATEMENT, &statement)?;
    layer.annotations = Some(note(PREDICATE, &attestation.predicate_type));
    // Readers of images want a configuration; it says as little as the platform.
    let config = json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest.to_string()]},
    });
    let config = serde_json::to_vec(&config).map_err(|error| failed(&error))?;
    let config = put(media_type::OCI_CONFIG, &config)?;
    let manifest = Manifest::new(ManifestKind::Oci, config, vec![layer]);
    let bytes = manifest.to_bytes().map_err(|error| failed(&error))?;
    let mut descriptor = put(media_type::OCI_MANIFEST, &bytes)?;
    descriptor.platform = Some(Platform::new("unknown", "unknown", None));
    let mut notes = note(KIND.0, KIND.1);
    notes.extend(note(ABOUT, &image.manifest_digest.to_string()));
    descriptor.annotations = Some(notes);
    Ok(descriptor)
}

fn note(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

/// An in-toto statement (attestation framework, `statement.md`, version 0.1 as BuildKit writes it).
fn statement(image: &Image, target: &BuiltTarget, attestation: &Attestation) -> Value {
    let digest = json!({"sha256": image.manifest_digest.hex()});
    let mut subjects: Vec<Value> = attestation
        .names
        .iter()
        .map(|name| json!({"name": package(name, &target.platform, None), "digest": digest}))
        .collect();
    if subjects.is_empty() {
        subjects.push(json!({"name": "_", "digest": digest}));
    }
    json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": attestation.predicate_type,
        "subject": subjects,
        "predicate": attestation.predicate,
    })
}

/// An image as a package URL (purl-spec, type `docker`).
pub(super) fn package(name: &Reference, platform: &Platform, digest: Option<&Digest>) -> String {
    let name = name.clone().with_default_tag();
    let familiar = name.familiar();
    let (path, tag) = match name.tag() {
        Some(tag) => (
            familiar
                .strip_suffix(&format!(":{tag}"))
                .unwrap_or(&familiar),
            format!("@{tag}"),
        ),
        None => (
            familiar.split('@').next().unwrap_or(&familiar),
            String::new(),
        ),
    };
    let platform = platform.to_string().replace('/', "%2F");
    let digest = digest
        .map(|digest| format!("digest={digest}&"))
        .unwrap_or_default();
    format!("pkg:docker/{path}{tag}?{digest}platform={platform}")
}
