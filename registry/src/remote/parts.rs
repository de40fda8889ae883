//! Parts of large blobs, several at once.
//!
//! The parts of a blob must come from one version of it: a server that names versions (`ETag`) is held to the one that it named first. Whatever it
//! names, who puts the parts together checks the digest of the whole.

use std::ops::Range;
use std::sync::PoisonError;

use kiln_store::Descriptor;
use reqwest::StatusCode;
use reqwest::header::ETAG;

use crate::content::Part;
use crate::error::Result;
use crate::transport::Answer;

use super::RemoteRepository;

impl RemoteRepository {
    /// A part of a blob, or all from its start on.
    pub(super) async fn get_part(&self, blob: &Descriptor, range: Range<u64>) -> Result<Part> {
        let answer = self.open_blob(blob, &range, None).await?;
        let version = version_of(&answer);
        let part = self.part_of(answer, blob, &range)?;
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        match (&part, version) {
            (Part::Exact(_), Some(version)) => versions.insert(blob.digest, version),
            _ => versions.remove(&blob.digest),
        };
        Ok(part)
    }

    /// A part whose turn has not come, unless somebody else wants the connection or it is no part of the same.
    pub(super) async fn get_part_if_free(
        &self,
        blob: &Descriptor,
        range: Range<u64>,
    ) -> Result<Part> {
        let url = match self.stored_at(blob) {
            Some(location) => location,
            None => self.host.url("", &self.meter).await?,
        };
        let Some(place) = self.host.transport().free_download_place(&url) else {
            return Ok(Part::Unavailable);
        };
        let answer = self.open_blob(blob, &range, Some(place)).await?;
        let (version, partial) = (
            version_of(&answer),
            answer.status() == StatusCode::PARTIAL_CONTENT,
        );
        let known = {
            let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
            versions.get(&blob.digest).cloned()
        };
        if !partial || known != version {
            return Ok(Part::Unavailable);
        }
        match self.part_of(answer, blob, &range)? {
            Part::Exact(stream) => Ok(Part::Exact(stream)),
            // The last part of all.
            Part::Rest(stream) if range.end == blob.size => Ok(Part::Exact(stream)),
            Part::Rest(_) | Part::Unavailable => Ok(Part::Unavailable),
        }
    }
}

fn version_of(answer: &Answer) -> Option<String> {
    answer.header(&ETAG).map(str::to_owned)
}
