//! Reading from mirrors: each is asked in its order and briefly, and the registry itself has the last word.
//!
//! A mirror that fails, whatever the reason, is passed over; one that cannot be reached at all is not asked again. A blob that proved wrong is fetched
//! from the next place, since a request for all of it that comes again means just that.

use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kiln_store::{Descriptor, Digest, Reference};

use crate::content::{ByteStream, ManifestName, Part, Repository, Resolved};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::routes::{Endpoint, PullFrom};
use crate::transport::Transport;

use super::{Access, RemoteRepository};

/// How often the transfer of one blob may break at a mirror.
const BREAKS: u32 = 3;

impl RemoteRepository {
    /// The same with these places before it, all counting together.
    pub(crate) fn behind(mut self, mirrors: Vec<(RemoteRepository, PullFrom)>) -> Self {
        self.mirrors = mirrors
            .into_iter()
            .map(|(mut mirror, from)| {
                mirror.meter = self.meter.clone();
                mirror.brief = true;
                (mirror, from)
            })
            .collect();
        self
    }

    /// The same on a mirror that serves several registries.
    pub(crate) fn for_namespace(mut self, namespace: Option<String>) -> Self {
        self.namespace = namespace;
        self
    }

    /// A handle that refuses everything.
    pub(crate) fn refused(reference: &Reference, why: &str, transport: Arc<Transport>) -> Self {
        let host = Host::plain(Endpoint::of(reference.domain()), transport);
        let mut handle = Self::new(Arc::new(host), reference.path(), Access::Pull);
        handle.refusal = Some(why.to_owned());
        handle
    }

    pub(super) async fn head_manifest_anywhere(
        &self,
        name: &ManifestName,
    ) -> Result<Option<Descriptor>> {
        for mirror in self.mirrors_for(by_digest(name)) {
            match mirror.briefly(mirror.head_manifest_inner(name)).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => self.pass_over(mirror, &Error::NotFound(name.to_string())),
                Err(error) => self.pass_over(mirror, &error),
            }
        }
        self.head_manifest_inner(name).await
    }

    pub(super) async fn get_manifest_anywhere(&self, name: &ManifestName) -> Result<Resolved> {
        for mirror in self.mirrors_for(by_digest(name)) {
            match mirror.briefly(mirror.get_manifest(name)).await {
                Ok(found) => return Ok(found),
                Err(error) => self.pass_over(mirror, &error),
            }
        }
        self.get_manifest(name).await
    }

    pub(super) async fn get_blob_anywhere(
        &self,
        blob: &Descriptor,
        offset: u64,
    ) -> Result<ByteStream> {
        match self
            .get_part_anywhere(blob, offset..blob.size, true)
            .await?
        {
            Part::Exact(stream) | Part::Rest(stream) => Ok(stream),
            Part::Unavailable => Err(Error::Interrupted("reading a blob".to_owned())),
        }
    }

    /// A part of a blob from the first place that gives it. After a break (`again`) it is seen whether the place is worth another try.
    pub(super) async fn get_part_anywhere(
        &self,
        blob: &Descriptor,
        range: Range<u64>,
        again: bool,
    ) -> Result<Part> {
        if self.mirrors.is_empty() {
            return self.get_part(blob, range).await;
        }
        let offset = range.start;
        let last = self.served().get(&blob.digest).copied();
        let first = match last {
            // All of it once more: what came from there was no good.
            Some((last, _)) if offset == 0 => last + 1,
            Some((last, times)) if times >= BREAKS => last + 1,
            Some((last, _)) => last,
            None => 0,
        };
        let taken = |number: usize| {
            let mut served = self.served();
            let known = served.entry(blob.digest).or_insert((number, 0));
            let times = if known.0 == number {
                known.1 + u32::from(again)
            } else {
                1
            };
            *known = (number, times);
        };
        for (number, (mirror, from)) in self.mirrors.iter().enumerate().skip(first) {
            if mirror.host.is_down() || *from == PullFrom::TagOnly {
                continue;
            }
            match mirror.briefly(mirror.get_part(blob, range.clone())).await {
                Ok(part) => {
                    taken(number);
                    return Ok(part);
                }
                Err(error) => self.pass_over(mirror, &error),
            }
        }
        taken(self.mirrors.len());
        self.get_part(blob, range).await
    }

    /// A part whose turn has not come, from the place that gave the ones before it.
    pub(super) async fn get_part_ahead(
        &self,
        blob: &Descriptor,
        range: Range<u64>,
    ) -> Result<Part> {
        let served = self.served().get(&blob.digest).map(|(number, _)| *number);
        match served.and_then(|number| self.mirrors.get(number)) {
            Some((mirror, _)) => mirror.get_part_if_free(blob, range).await,
            None => self.get_part_if_free(blob, range).await,
        }
    }

    /// Whether a blob that came from a mirror can be had from a place after it.
    pub(super) fn has_more(&self, blob: &Digest) -> bool {
        self.served()
            .get(blob)
            .is_some_and(|(last, _)| *last < self.mirrors.len())
    }

    fn served(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<Digest, (usize, u32)>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mirrors that are asked for what is named by digest, or by tag.
    fn mirrors_for(&self, digest: bool) -> impl Iterator<Item = &RemoteRepository> {
        let fits = move |from: PullFrom| match from {
            PullFrom::All => true,
            PullFrom::DigestOnly => digest,
            PullFrom::TagOnly => !digest,
        };
        self.mirrors
            .iter()
            .filter(move |(mirror, from)| fits(*from) && !mirror.host.is_down())
            .map(|(mirror, _)| mirror)
    }

    /// An answer of a mirror, if it comes soon.
    async fn briefly<T>(&self, asking: impl Future<Output = Result<T>>) -> Result<T> {
        let limit: Duration = self.host.transport().options().timeouts.mirror;
        match tokio::time::timeout(limit, asking).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                method: reqwest::Method::GET,
                url: self.name(),
                what: "no answer",
                after: limit,
            }),
        }
    }

    fn pass_over(&self, mirror: &RemoteRepository, error: &Error) {
        if matches!(
            error,
            Error::Network {
                before_send: true,
                ..
            } | Error::Timeout { .. }
        ) {
            mirror.host.saw_down();
        }
        let transport = self.host.transport();
        transport.explain(|| format!("{} is passed over: {error}", mirror.name()));
    }
}

fn by_digest(name: &ManifestName) -> bool {
    matches!(name, ManifestName::Digest(_))
}
