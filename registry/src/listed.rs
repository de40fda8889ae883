//! What a list of entries with names tells: the one entry there is, and what belongs to a manifest.

use kiln_store::{Descriptor, Digest, Index, Manifest, media_type};

use crate::companions::is_about;
use crate::content::{Companions, ManifestName, Resolved};
use crate::error::{Error, Result};
use crate::layout::NAME_ANNOTATION;

/// Entries that are looked into for a subject. Layouts with more of them are mirrors of whole registries.
const MOST: usize = 20_000;

/// Entries of an `index.json`, with their names.
pub(crate) type Entries = Vec<(Option<String>, Descriptor)>;

/// Enters a document into an index of entries with names, as `index.json` is one.
pub(crate) fn enter(index: &mut Index, name: &ManifestName, manifest: &Resolved) {
    let mut entry = manifest.descriptor.clone();
    match name {
        ManifestName::Tag(tag) => {
            index
                .manifests
                .retain(|known| known.annotation(NAME_ANNOTATION) != Some(tag));
            entry
                .annotations
                .get_or_insert_default()
                .insert(NAME_ANNOTATION.to_owned(), tag.clone());
        }
        ManifestName::Digest(_) => {
            let mut known = index.manifests.iter();
            if known.any(|known| known.digest == entry.digest) {
                return;
            }
        }
    }
    let children = children(manifest);
    // What belongs to an index need not be listed by itself, unless it has a name of its own.
    let covered =
        |known: &Descriptor| known.digest == entry.digest || children.contains(&known.digest);
    index
        .manifests
        .retain(|known| known.annotation(NAME_ANNOTATION).is_some() || !covered(known));
    index.manifests.push(entry);
}

/// The manifests that an index points at; none for any other document.
pub(crate) fn children(document: &Resolved) -> Vec<Digest> {
    if !media_type::is_index(&document.descriptor.media_type) {
        return Vec::new();
    }
    match serde_json::from_slice::<Index>(&document.bytes) {
        Ok(index) => index.manifests.iter().map(|child| child.digest).collect(),
        // Its media type was decided from the same bytes; an index that cannot be read covers nothing.
        Err(_) => Vec::new(),
    }
}

/// The name of the only image among the entries. What is about another entry (a signature) or tagged as such does not count.
pub(crate) fn only(place: &str, entries: &Entries) -> Result<ManifestName> {
    let is_signature = |name: &Option<String>| {
        name.as_deref().is_some_and(|name| {
            entries
                .iter()
                .any(|(_, entry)| is_about(name, &entry.digest))
        })
    };
    let images: Vec<_> = entries
        .iter()
        .filter(|(name, entry)| !is_signature(name) && !is_artifact(entry))
        .collect();
    let mut digests: Vec<Digest> = images.iter().map(|(_, entry)| entry.digest).collect();
    digests.dedup();
    match (digests.as_slice(), images.first()) {
        ([digest], _) => Ok(ManifestName::Digest(*digest)),
        (_, None) => Err(Error::NotFound(format!("an image in {place}"))),
        _ => {
            let names: Vec<String> = images
                .iter()
                .map(|(name, entry)| name.clone().unwrap_or_else(|| entry.digest.to_string()))
                .collect();
            Err(Error::Options(format!(
                "{place} holds several images, choose one by its name: {}",
                names.join(", ")
            )))
        }
    }
}

fn is_artifact(entry: &Descriptor) -> bool {
    entry
        .artifact_type
        .as_deref()
        .is_some_and(|kind| !media_type::is_image_config(kind))
}

/// What belongs to these manifests, among entries whose documents `read` gives.
pub(crate) fn companions(
    entries: &Entries,
    subjects: &[Digest],
    read: impl Fn(&Digest) -> Result<Resolved>,
) -> Result<Companions> {
    let mut found = Companions::default();
    for (name, entry) in entries.iter().take(MOST) {
        if let Some(name) = name
            && subjects.iter().any(|subject| is_about(name, subject))
        {
            found.tags.push(name.clone());
            continue;
        }
        let document = match read(&entry.digest) {
            Ok(document) => document,
            Err(Error::NotFound(_)) => continue,
            Err(error) => return Err(error),
        };
        if subject(&document).is_some_and(|subject| subjects.contains(&subject)) {
            found.referrers.push(document.descriptor);
        }
    }
    Ok(found)
}

fn subject(document: &Resolved) -> Option<Digest> {
    let subject = if media_type::is_index(&document.descriptor.media_type) {
        serde_json::from_slice::<Index>(&document.bytes)
            .ok()?
            .subject
    } else {
        serde_json::from_slice::<Manifest>(&document.bytes)
            .ok()?
            .subject
    };
    subject.map(|subject| subject.digest)
}
