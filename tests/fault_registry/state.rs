//! What the registry holds and has seen.

use std::collections::{BTreeMap, BTreeSet};

use kiln_store::Digest;

use super::fault::{Fault, On, What};
use super::http::Head;

/// Which door a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Registry,
    Storage,
}

/// An upload under way.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    pub repository: String,
    pub bytes: Vec<u8>,
    /// Counts its requests; the newest location carries it.
    pub step: usize,
    pub patches: usize,
    /// Where the first PATCH ended.
    pub first_end: usize,
    /// A request of it broke off.
    pub broken: bool,
}

#[derive(Default)]
pub struct State {
    blobs: BTreeMap<(String, String), Vec<u8>>,
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    pub uploads: BTreeMap<usize, Upload>,
    pub next_upload: usize,
    pub faults: Vec<Fault>,
    pub log: Vec<String>,
    /// The ranges of blobs that were asked for.
    pub ranges: Vec<String>,
    pub complaints: Vec<String>,
    pub blob_bytes_sent: u64,
    pub upload_bytes_received: u64,
    /// Tokens that were given out and what they allow.
    pub tokens: BTreeMap<String, BTreeSet<String>>,
}

impl State {
    pub fn keep_blob(&mut self, repository: &str, digest: &str, bytes: Vec<u8>) {
        self.blobs
            .insert((repository.to_owned(), digest.to_owned()), bytes);
    }

    pub fn blob(&self, repository: &str, digest: &str) -> Option<&Vec<u8>> {
        self.blobs.get(&(repository.to_owned(), digest.to_owned()))
    }

    /// A blob of any repository.
    pub fn stored(&self, digest: &str) -> Option<&Vec<u8>> {
        self.blobs
            .iter()
            .find(|((_, known), _)| known == digest)
            .map(|(_, bytes)| bytes)
    }

    /// Keeps a manifest under its digest and, if `name` is a tag, under that.
    pub fn keep_manifest(
        &mut self,
        repository: &str,
        name: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> String {
        let digest = Digest::sha256(bytes).to_string();
        for name in [name, &digest] {
            let value = (media_type.to_owned(), bytes.to_vec());
            self.manifests
                .insert((repository.to_owned(), name.to_owned()), value);
        }
        digest
    }

    pub fn manifest(&self, repository: &str, name: &str) -> Option<&(String, Vec<u8>)> {
        self.manifests
            .get(&(repository.to_owned(), name.to_owned()))
    }

    /// The tags of a repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let all = self
            .manifests
            .keys()
            .filter(|(owner, name)| owner == repository && !name.contains(':'));
        all.map(|(_, name)| name.clone()).collect()
    }

    /// The fault that meets a request, if one does. Looking takes its turn.
    pub fn fault(&mut self, head: &Head) -> Option<What> {
        let size = self.size_asked(head);
        let position = self
            .faults
            .iter_mut()
            .position(|fault| meets(fault.on, head, size) && fault.strikes())?;
        let what = self.faults[position].what.clone();
        if self.faults[position].times == 0 {
            self.faults.remove(position);
        }
        Some(what)
    }

    /// The size of the blob that a request reads.
    fn size_asked(&self, head: &Head) -> usize {
        let digest = head.path().rsplit('/').next().unwrap_or("");
        self.stored(digest).map_or(0, Vec::len)
    }
}

fn meets(on: On, head: &Head, size: usize) -> bool {
    let (path, method) = (head.path(), head.method.as_str());
    let reads = matches!(method, "GET" | "HEAD");
    match on {
        On::Any => true,
        On::Token => path == "/token",
        On::ManifestRead => reads && path.contains("/manifests/"),
        On::ManifestPut => method == "PUT" && path.contains("/manifests/"),
        // A redirect moves nothing: only requests that would bring the bytes count.
        On::BlobRead { above } => method == "GET" && head.brings_blob() && size > above,
        On::UploadStart => method == "POST" && path.contains("/blobs/uploads/"),
        On::UploadBody { above } => {
            matches!(method, "PUT" | "PATCH")
                && !path.contains("/manifests/")
                && head.length > above
        }
    }
}
