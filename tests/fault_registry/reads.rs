//! Blobs that are read.

use std::sync::Arc;

use super::Shared;
use super::http::{Head, Reply};
use super::profile::{Digests, Storage};

/// `/v2/<name>/blobs/<digest>`.
pub fn blob(shared: &Arc<Shared>, head: &Head) -> Reply {
    let Some((repository, digest)) = head
        .path()
        .strip_prefix("/v2/")
        .and_then(|rest| rest.split_once("/blobs/"))
    else {
        return Reply::new(404);
    };
    if shared
        .state
        .lock()
        .unwrap()
        .blob(repository, digest)
        .is_none()
    {
        return Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    }
    match shared.profile.storage {
        Storage::Own { ranges } => {
            with_digest(shared, stored(shared, head, digest, ranges), digest)
        }
        Storage::RedirectPath => {
            Reply::new(302).header("Location", format!("/direct/{digest}?sig=1"))
        }
        Storage::RedirectHost => Reply::new(307).header(
            "Location",
            format!("http://{}/stored/{digest}?Signature=secret", shared.storage),
        ),
    }
}

/// The digest header as the profile has it.
pub fn with_digest(shared: &Shared, reply: Reply, digest: &str) -> Reply {
    match shared.profile.digests {
        Digests::Sent => reply.header("Docker-Content-Digest", digest),
        Digests::Missing => reply,
        Digests::Empty => reply.header("Docker-Content-Digest", ""),
    }
}

/// The bytes of a blob, or a range of them.
pub fn stored(shared: &Shared, head: &Head, digest: &str, ranges: bool) -> Reply {
    let bytes = shared.state.lock().unwrap().stored(digest).cloned();
    let Some(bytes) = bytes else {
        return Reply::new(404);
    };
    let mut reply = match range(head.header("range"), bytes.len()).filter(|_| ranges) {
        Some((start, _)) if start >= bytes.len() => {
            Reply::new(416).header("Content-Range", format!("bytes */{}", bytes.len()))
        }
        Some((start, end)) => Reply::new(206)
            .header(
                "Content-Range",
                format!("bytes {start}-{}/{}", end - 1, bytes.len()),
            )
            .body(&bytes[start..end]),
        None => Reply::new(200).body(bytes),
    };
    reply.is_blob = true;
    reply.header("Content-Type", "application/octet-stream")
}

/// `bytes=a-` or `bytes=a-b`: start and end (exclusive).
fn range(text: &str, length: usize) -> Option<(usize, usize)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = end
        .parse()
        .map_or(length, |end: usize| (end + 1).min(length));
    Some((start.parse().ok()?, end))
}
