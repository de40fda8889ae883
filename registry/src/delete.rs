//! Deleting one tag, or one manifest, and nothing else.
//!
//! ```text
//! tag:     DELETE manifests/<tag>        registries that know the difference
//!          else, if no other tag has the digest: DELETE manifests/<digest>
//!          else: the tag is put onto an empty artifact, and that is deleted by its digest
//! digest:  refused while tags point at it
//! ```

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kiln_store::{Descriptor, Digest, Manifest, ManifestKind, media_type};
use reqwest::StatusCode;

use crate::content::{BlobUpload, ManifestName, Repository, Resolved};
use crate::error::{Error, Result};
use crate::remote::RemoteRepository;
use crate::source::BytesBlob;

/// Tags asked for at once.
const AT_ONCE: usize = 16;

/// How a tag was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The tag, by the registry itself.
    Tag,
    /// The manifest, which had no other tag.
    Manifest,
    /// The tag, by way of an empty artifact.
    ByDetour,
}

impl Deleted {
    /// What is worth telling.
    #[must_use]
    pub fn note(self) -> Option<&'static str> {
        match self {
            Self::Tag => None,
            Self::Manifest => Some(
                "the registry deletes no tags: its manifest, which had no other tag, was deleted",
            ),
            Self::ByDetour => Some(
                "the registry deletes no tags, and other tags share the manifest: the tag was moved to an empty artifact, which was deleted",
            ),
        }
    }
}

/// Deletes a tag and leaves every other tag as it is. `writing` is the same repository with the right to write.
pub async fn delete_tag(
    repository: &RemoteRepository,
    writing: &RemoteRepository,
    tag: &str,
) -> Result<Deleted> {
    let name = ManifestName::Tag(tag.to_owned());
    let Some(found) = repository.head_manifest(&name).await? else {
        return Err(Error::NotFound(format!("{}:{tag}", repository.name())));
    };
    match repository.delete_manifest(&name).await {
        // Some registries delete the manifest when they are told its tag, but only those that document it.
        Ok(()) => return Ok(Deleted::Tag),
        Err(error) if is_refusal(&error) => {}
        Err(error) => return Err(error),
    }
    let others = tags_of(repository, &found.digest).await?;
    let by_digest = ManifestName::Digest(found.digest);
    if others.iter().all(|other| other == tag) {
        repository.delete_manifest(&by_digest).await?;
        return Ok(Deleted::Manifest);
    }
    let empty = put_empty(writing, &name).await?;
    repository
        .delete_manifest(&ManifestName::Digest(empty))
        .await?;
    Ok(Deleted::ByDetour)
}

/// Deletes a manifest by its digest. While tags point at it, that is refused unless forced.
pub async fn delete_digest(
    repository: &RemoteRepository,
    digest: &Digest,
    force: bool,
) -> Result<Deleted> {
    if !force {
        let tags = tags_of(repository, digest).await?;
        if !tags.is_empty() {
            return Err(Error::Options(format!(
                "{digest} has tags, which would go with it: {} (`--force` deletes it all the same)",
                tags.join(", ")
            )));
        }
    }
    repository
        .delete_manifest(&ManifestName::Digest(*digest))
        .await?;
    Ok(Deleted::Tag)
}

/// The tags that point at a digest.
async fn tags_of(repository: &RemoteRepository, digest: &Digest) -> Result<Vec<String>> {
    let tags = match repository.tags().await {
        Err(Error::NotFound(_)) => Vec::new(),
        tags => tags?,
    };
    let found: Vec<Option<String>> = stream::iter(tags)
        .map(|tag| async move {
            let name = ManifestName::Tag(tag.clone());
            let there = repository.head_manifest(&name).await?;
            Ok::<_, Error>(there.filter(|there| there.digest == *digest).map(|_| tag))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let mut tags: Vec<String> = found.into_iter().flatten().collect();
    tags.sort();
    Ok(tags)
}

/// Answers of registries that delete manifests by their digests alone.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Options(_) | Error::NotFound(_) => true,
        error => matches!(
            error.status(),
            Some(
                StatusCode::BAD_REQUEST
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_IMPLEMENTED
            )
        ),
    }
}

/// Puts an artifact that holds nothing under a tag; gives its digest, which no other manifest has.
async fn put_empty(repository: &RemoteRepository, name: &ManifestName) -> Result<Digest> {
    const EMPTY: &[u8] = b"{}";
    let config = Descriptor::new(
        media_type::OCI_EMPTY,
        Digest::sha256(EMPTY),
        EMPTY.len() as u64,
    );
    let upload = BlobUpload {
        descriptor: config.clone(),
        source: Arc::new(BytesBlob(Bytes::from_static(EMPTY))),
        origins: Vec::new(),
    };
    repository.put_blob(&upload).await?;
    let mut manifest = Manifest::new(ManifestKind::Oci, config.clone(), vec![config]);
    manifest.artifact_type = Some("application/vnd.kiln.deleted".to_owned());
    // Its own tag makes it unlike every other one that is deleted at the same time.
    let note = (
        "kiln.deleted.tag".to_owned(),
        format!("{}:{name}", repository.name()),
    );
    manifest.annotations = Some([note].into());
    let bytes = manifest.to_bytes()?;
    let digest = Digest::sha256(&bytes);
    let resolved = Resolved {
        descriptor: Descriptor::new(media_type::OCI_MANIFEST, digest, bytes.len() as u64),
        bytes: bytes.into(),
    };
    repository.put_manifest(name, &resolved).await?;
    Ok(digest)
}
