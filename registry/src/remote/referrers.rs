//! What belongs to a manifest: the referrers of the API or of the fallback tag, and cosign's tags.
//!
//! ```text
//! GET tags/list?n=1000            one page; a longer list is not read for this: then each tag is asked for by HEAD
//! GET referrers/<digest>          404: the registry keeps no such list, the fallback tag `sha256-<hex>` does
//! PUT manifests/...               no `OCI-Subject` in the answer: we keep the list under the fallback tag
//! ```

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kiln_store::{Descriptor, Digest, Index, MANIFEST_LIMIT, Manifest, ManifestKind, media_type};
use reqwest::{Method, StatusCode};

use crate::companions::{SUFFIXES, fallback_tag, is_about};
use crate::content::{Companions, ManifestName, Resolved};
use crate::error::{Error, Result};
use crate::transport::Request;

use super::RemoteRepository;
use super::tags::next_page;

/// Questions under way at once.
const AT_ONCE: usize = 16;

/// Pages of one list of referrers. A hundred signatures fit one page; a registry that sends more pages than this sends us in a circle.
const PAGES: usize = 1000;

impl RemoteRepository {
    /// The manifests whose subject is this one; `None` if the registry has no list of them.
    pub async fn referrers(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>> {
        let mut request = self
            .request(Method::GET, &format!("referrers/{subject}"))
            .await?;
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let answer = self.send(&request).await?;
            match answer.status() {
                // A login page with status 200 is no list either.
                StatusCode::OK if answer.media_type() == media_type::OCI_INDEX => {}
                status if status.is_success() || status.is_client_error() => {
                    answer.finish().await;
                    return Ok(None);
                }
                _ => return Err(answer.into_error().await),
            }
            let next = next_page(&answer)?;
            let from = answer.shown_url();
            let bytes = answer.bytes(MANIFEST_LIMIT).await?;
            let index: Index = serde_json::from_slice(&bytes)
                .map_err(|_| Error::protocol(&from, "the answer is not a list of referrers"))?;
            found.extend(index.manifests);
            match next {
                Some(url) => request = Request::new(Method::GET, url, self.meter.clone()),
                None => return Ok(Some(found)),
            }
        }
        Err(Error::protocol(
            self.name_of_list(subject),
            format!("its list of referrers has more than {PAGES} pages"),
        ))
    }

    pub(super) async fn find_companions(&self, subjects: &[Digest]) -> Result<Companions> {
        let Some(first) = subjects.first() else {
            return Ok(Companions::default());
        };
        let (tags, listed) = tokio::try_join!(self.few_tags(), self.referrers(first))?;
        let mut referrers = Vec::new();
        let has_list = listed.is_some();
        referrers.extend(listed.unwrap_or_default());
        let rest = if has_list { &subjects[1..] } else { subjects };
        // Owned, as a future may not borrow from an iterator.
        let rest: Vec<Digest> = rest
            .iter()
            .filter(|subject| {
                let absent = |tags: &Vec<String>| !tags.contains(&fallback_tag(subject));
                has_list || !tags.as_ref().is_some_and(absent)
            })
            .copied()
            .collect();
        let more: Vec<Vec<Descriptor>> = stream::iter(rest)
            .map(|subject| self.list_of(subject, has_list))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        referrers.extend(more.into_iter().flatten());
        let mut seen = BTreeSet::new();
        referrers.retain(|found| seen.insert(found.digest));
        let tags = match tags {
            Some(tags) => tags
                .into_iter()
                .filter(|tag| subjects.iter().any(|subject| is_about(tag, subject)))
                .collect(),
            None => self.ask_for_tags(subjects).await?,
        };
        Ok(Companions { referrers, tags })
    }

    /// The referrers by the API or by the fallback tag.
    async fn list_of(&self, subject: Digest, by_api: bool) -> Result<Vec<Descriptor>> {
        if by_api {
            return Ok(self.referrers(&subject).await?.unwrap_or_default());
        }
        let list = self.fallback(&subject).await?;
        Ok(list.map(|list| list.manifests).unwrap_or_default())
    }

    /// All tags if they come in one answer. A registry that refuses to list them has not told us anything.
    async fn few_tags(&self) -> Result<Option<Vec<String>>> {
        match self.first_tags().await {
            Ok((tags, None)) => Ok(Some(tags)),
            Ok((_, Some(_))) => Ok(None),
            Err(error) if error.is_transient() => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn ask_for_tags(&self, subjects: &[Digest]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for subject in subjects {
            let prefix = fallback_tag(subject);
            names.extend(SUFFIXES.map(|suffix| format!("{prefix}{suffix}")));
        }
        let found: Vec<Option<String>> = stream::iter(names)
            .map(|tag| async move {
                let name = ManifestName::Tag(tag.clone());
                Ok::<_, Error>(self.head_manifest_inner(&name).await?.map(|_| tag))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The list under the fallback tag. GitLab resolves that tag to the subject itself: what is no index is no list.
    async fn fallback(&self, subject: &Digest) -> Result<Option<Index>> {
        let name = ManifestName::Tag(fallback_tag(subject));
        let resolved = match self.get_manifest(&name).await {
            Ok(resolved) => resolved,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !media_type::is_index(&resolved.descriptor.media_type)
            || resolved.descriptor.digest == *subject
        {
            return Ok(None);
        }
        let index = serde_json::from_slice(&resolved.bytes).map_err(|_| {
            Error::protocol(
                self.name_of_list(subject),
                "the list under its fallback tag is not an index",
            )
        })?;
        Ok(Some(index))
    }

    /// After a manifest with a subject was put and the registry said nothing of it: adds the manifest to the list under the fallback tag.
    pub(super) async fn list_referrer(&self, manifest: &Resolved) -> Result<()> {
        let Some(entry) = referrer(manifest) else {
            return Ok(());
        };
        let (subject, entry) = entry;
        let mut index = self
            .fallback(&subject)
            .await?
            .unwrap_or_else(|| Index::new(ManifestKind::Oci, Vec::new()));
        if index
            .manifests
            .iter()
            .any(|known| known.digest == entry.digest)
        {
            return Ok(());
        }
        index.manifests.push(entry);
        let bytes = index.to_bytes()?;
        let list = Resolved {
            descriptor: Descriptor::new(
                media_type::OCI_INDEX,
                Digest::sha256(&bytes),
                bytes.len() as u64,
            ),
            bytes: bytes.into(),
        };
        Box::pin(self.put_manifest_inner(&ManifestName::Tag(fallback_tag(&subject)), &list)).await
    }

    fn name_of_list(&self, subject: &Digest) -> String {
        format!("{}/{}@{subject}", self.host.name(), self.path)
    }
}

/// The subject of a manifest, if it has one, and the entry for the list of that subject's referrers.
fn referrer(manifest: &Resolved) -> Option<(Digest, Descriptor)> {
    /// Few manifests have a subject: most are not parsed.
    const FIELD: &[u8] = b"\"subject\"";
    if !manifest.bytes.windows(FIELD.len()).any(|at| at == FIELD) {
        return None;
    }
    let mut entry = manifest.descriptor.clone();
    let (subject, artifact_type, annotations) =
        if media_type::is_index(&manifest.descriptor.media_type) {
            let index: Index = serde_json::from_slice(&manifest.bytes).ok()?;
            (index.subject?, index.artifact_type, index.annotations)
        } else {
            let read: Manifest = serde_json::from_slice(&manifest.bytes).ok()?;
            let kind = read.artifact_type.or(Some(read.config.media_type));
            (read.subject?, kind, read.annotations)
        };
    entry.artifact_type = artifact_type;
    entry.annotations = annotations;
    Some((subject.digest, entry))
}
