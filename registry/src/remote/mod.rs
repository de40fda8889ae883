//! A repository of a registry.
//!
//! ```text
//! manifests   GET HEAD PUT DELETE  /v2/<name>/manifests/<tag or digest>
//! blobs       GET HEAD             /v2/<name>/blobs/<digest>
//! upload      POST PATCH PUT       /v2/<name>/blobs/uploads/
//! tags        GET                  /v2/<name>/tags/list
//! referrers   GET                  /v2/<name>/referrers/<digest>
//! ```
//!
//! A handle is cheap; all handles of one client share connections, tokens and what is known of the registry. Each counts its own traffic.

mod blobs;
mod manifests;
mod mirrors;
mod parts;
mod referrers;
mod tags;
mod upload;

pub(crate) use manifests::{decide_media_type, verify};
pub(crate) use tags::next_page;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kiln_store::{Descriptor, Digest};
use reqwest::Method;
use url::Url;

use crate::auth::Scopes;
use crate::content::{
    BlobUpload, ByteStream, Companions, ManifestName, Part, Placed, Repository, Resolved,
    Splitting, Turn,
};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::routes::PullFrom;
use crate::transport::{Answer, Meter, Request, Traffic};

/// A repository of a registry.
#[derive(Clone, Debug)]
pub struct RemoteRepository {
    host: Arc<Host>,
    path: String,
    scopes: Scopes,
    meter: Arc<Meter>,
    /// Places that are asked before it, for reading.
    mirrors: Vec<(RemoteRepository, PullFrom)>,
    /// Which of them gave a blob last, and how often it was asked for that; their number stands for this one.
    served: Arc<Mutex<HashMap<Digest, (usize, u32)>>>,
    /// The registry that is meant, on a mirror of several.
    namespace: Option<String>,
    /// Asked once and no more: others can answer as well.
    brief: bool,
    /// Why nothing may be asked.
    refusal: Option<String>,
    /// Where blobs were found to be stored in the end, so that a broken transfer need not ask the registry again.
    locations: Arc<Mutex<HashMap<Digest, Url>>>,
    /// The version of a blob that its parts are fetched from, as its server calls it (`ETag`).
    versions: Arc<Mutex<HashMap<Digest, String>>>,
}

/// What a handle is for; tokens are asked for accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
    /// Deleting.
    Delete,
}

impl RemoteRepository {
    pub(crate) fn new(host: Arc<Host>, path: &str, access: Access) -> Self {
        let scopes = match access {
            Access::Pull => Scopes::pull(path),
            Access::Push => Scopes::push(path),
            Access::Delete => Scopes::delete(path),
        };
        Self {
            host,
            path: path.to_owned(),
            scopes,
            meter: Arc::default(),
            mirrors: Vec::new(),
            served: Arc::default(),
            namespace: None,
            brief: false,
            refusal: None,
            locations: Arc::default(),
            versions: Arc::default(),
        }
    }

    /// The path of the repository in its registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    async fn request(&self, method: Method, below: &str) -> Result<Request> {
        if let Some(refusal) = &self.refusal {
            return Err(Error::Options(refusal.clone()));
        }
        let mut url = self
            .host
            .url(&format!("{}/{below}", self.path), &self.meter)
            .await?;
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        let request = Request::new(method, url, self.meter.clone());
        Ok(if self.brief { request.once() } else { request })
    }

    async fn send(&self, request: &Request) -> Result<Answer> {
        self.host.send(request, &self.path, &self.scopes).await
    }

    /// The name of a manifest for messages.
    fn shown(&self, name: &ManifestName) -> String {
        match name {
            ManifestName::Tag(tag) => format!("{}/{}:{tag}", self.host.name(), self.path),
            ManifestName::Digest(digest) => format!("{}/{}@{digest}", self.host.name(), self.path),
        }
    }
}

impl Repository for RemoteRepository {
    fn name(&self) -> String {
        format!("{}/{}", self.host.name(), self.path)
    }

    fn head_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
    ) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.head_manifest_anywhere(name).boxed()
    }

    fn manifest<'a>(&'a self, name: &'a ManifestName) -> BoxFuture<'a, Result<Resolved>> {
        self.get_manifest_anywhere(name).boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        name: &'a ManifestName,
        manifest: &'a Resolved,
    ) -> BoxFuture<'a, Result<()>> {
        self.put_manifest_inner(name, manifest).boxed()
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<bool>> {
        self.head_blob(blob).boxed()
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, offset: u64) -> BoxFuture<'a, Result<ByteStream>> {
        self.get_blob_anywhere(blob, offset).boxed()
    }

    fn splitting(&self) -> Option<Splitting> {
        Some(self.host.transport().options().splitting).filter(|splitting| splitting.ahead > 0)
    }

    fn blob_part<'a>(
        &'a self,
        blob: &'a Descriptor,
        range: Range<u64>,
        turn: Turn,
    ) -> BoxFuture<'a, Result<Part>> {
        match turn {
            Turn::Ahead => self.get_part_ahead(blob, range).boxed(),
            Turn::Next | Turn::Again => {
                let again = turn == Turn::Again;
                self.get_part_anywhere(blob, range, again).boxed()
            }
        }
    }

    fn put_blob<'a>(&'a self, upload: &'a BlobUpload) -> BoxFuture<'a, Result<Placed>> {
        self.put_blob_inner(upload).boxed()
    }

    fn companions<'a>(&'a self, subjects: &'a [Digest]) -> BoxFuture<'a, Result<Companions>> {
        self.find_companions(subjects).boxed()
    }

    fn keeps_companions(&self) -> bool {
        true
    }

    fn has_other_source(&self, blob: &Digest) -> bool {
        self.has_more(blob)
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
