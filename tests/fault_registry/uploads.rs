//! Blobs that are sent.

use std::sync::Arc;

use kiln_store::Digest;

use super::Shared;
use super::http::{Head, Reply};
use super::profile::{Location, Mounts, Position};
use super::reads::with_digest;
use super::state::{State, Upload};
use super::tokens::may_read;

/// Anything about an upload.
pub fn answer(shared: &Arc<Shared>, head: &Head, body: &[u8]) -> Reply {
    if head.method == "POST" {
        return begin(shared, head);
    }
    let mut state = shared.state.lock().unwrap();
    let Some((number, mut upload)) = find(shared, &state, head) else {
        return Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
    };
    if upload.broken && !shared.profile.resumes && head.method != "DELETE" {
        state.uploads.remove(&number);
        return Reply::error(404, "BLOB_UPLOAD_INVALID", "the upload was broken off");
    }
    let reply = match head.method.as_str() {
        "GET" if shared.profile.resumes => {
            Reply::new(204).header("Range", end_of(upload.bytes.len()))
        }
        "PATCH" => patch(shared, head, &mut upload, body),
        "PUT" => return put(shared, head, &mut state, number, &upload, body),
        "DELETE" => {
            if shared.profile.cancel < 300 {
                state.uploads.remove(&number);
            }
            return Reply::new(shared.profile.cancel);
        }
        _ => return Reply::new(405),
    };
    upload.step += 1;
    let reply = reply.header("Location", location(shared, number, &upload));
    state.uploads.insert(number, upload);
    reply
}

/// A request whose body broke off.
pub fn broken(shared: &Shared, head: &Head, body: &[u8]) {
    let mut state = shared.state.lock().unwrap();
    if let Some((number, mut upload)) = find(shared, &state, head) {
        upload.broken = true;
        if shared.profile.resumes {
            upload.bytes.extend_from_slice(body);
        }
        state.uploads.insert(number, upload);
    }
}

fn begin(shared: &Shared, head: &Head) -> Reply {
    let Some(repository) = head
        .path()
        .strip_prefix("/v2/")
        .and_then(|rest| rest.strip_suffix("/blobs/uploads/"))
    else {
        return Reply::new(404);
    };
    if let (Some(digest), Some(from)) = (head.parameter("mount"), head.parameter("from")) {
        match shared.profile.mounts {
            Mounts::Refused(status) => {
                return Reply::error(status, "UNSUPPORTED", "mounts are not supported");
            }
            Mounts::Work if may_read(shared, head, &from) => {
                let mut state = shared.state.lock().unwrap();
                if let Some(bytes) = state.blob(&from, &digest).cloned() {
                    state.keep_blob(repository, &digest, bytes);
                    return with_digest(shared, Reply::new(201), &digest);
                }
            }
            Mounts::Work | Mounts::Ignored => {}
        }
    }
    let mut state = shared.state.lock().unwrap();
    let number = state.next_upload;
    state.next_upload += 1;
    let upload = Upload {
        repository: repository.to_owned(),
        ..Upload::default()
    };
    let mut reply = Reply::new(202)
        .header("Location", location(shared, number, &upload))
        .header("Range", "0-0");
    if let Some(least) = shared.profile.patches.least {
        reply = reply.header("OCI-Chunk-Min-Length", least.to_string());
    }
    state.uploads.insert(number, upload);
    reply
}

fn patch(shared: &Shared, head: &Head, upload: &mut Upload, body: &[u8]) -> Reply {
    let rules = shared.profile.patches;
    if rules.count == 0 {
        return Reply::new(405);
    }
    if upload.patches >= rules.count || rules.most.is_some_and(|most| body.len() > most) {
        return Reply::new(416).header("Range", end_of(upload.bytes.len()));
    }
    let start = head
        .header("content-range")
        .split('-')
        .next()
        .and_then(|text| text.parse::<usize>().ok());
    if start.is_some_and(|start| start != upload.bytes.len()) {
        return Reply::new(416).header("Range", end_of(upload.bytes.len()));
    }
    upload.patches += 1;
    upload.broken = false;
    upload.bytes.extend_from_slice(body);
    if upload.patches == 1 {
        upload.first_end = upload.bytes.len();
    }
    let reply = Reply::new(rules.status);
    match shared.profile.position {
        Position::True => reply.header("Range", end_of(upload.bytes.len())),
        Position::Stale => reply.header("Range", end_of(upload.first_end)),
        Position::Missing => reply,
    }
}

fn put(
    shared: &Shared,
    head: &Head,
    state: &mut State,
    number: usize,
    upload: &Upload,
    body: &[u8],
) -> Reply {
    let rules = shared.profile.whole;
    if let Some(status) = rules.refused.filter(|_| !body.is_empty()) {
        return Reply::new(status);
    }
    if rules.most.is_some_and(|most| body.len() > most) {
        return Reply::new(413)
            .body("<html>too large</html>")
            .header("Content-Type", "text/html");
    }
    state.uploads.remove(&number);
    let mut bytes = upload.bytes.clone();
    bytes.extend_from_slice(body);
    let digest = head.parameter("digest").unwrap_or_default();
    if digest
        .parse::<Digest>()
        .is_ok_and(|wanted| wanted == Digest::sha256(&bytes))
    {
        state.keep_blob(&upload.repository, &digest, bytes);
        return with_digest(shared, Reply::new(201), &digest);
    }
    Reply::error(
        400,
        "DIGEST_INVALID",
        "provided digest did not match uploaded content",
    )
}

/// The upload that a request is about, if its address is still good.
fn find(shared: &Shared, state: &State, head: &Head) -> Option<(usize, Upload)> {
    let number: usize = head.path().rsplit('/').next()?.parse().ok()?;
    let upload = state.uploads.get(&number)?;
    let needs_state = shared.profile.location == Location::PathWithState;
    let fresh = !needs_state
        || head
            .parameter("_state")
            .is_some_and(|step| step == upload.step.to_string());
    // Asking how far it is works with every address of it.
    (fresh || head.method == "GET").then(|| (number, upload.clone()))
}

fn location(shared: &Shared, number: usize, upload: &Upload) -> String {
    let path = format!("/v2/{}/blobs/uploads/{number}", upload.repository);
    match shared.profile.location {
        Location::Path => path,
        Location::PathWithState => format!("{path}?_state={}", upload.step),
        Location::Url => format!("http://{}{path}?query=a%2Fb", shared.address),
        Location::Relative if upload.step == 0 => format!("{number}"),
        Location::Relative => format!("./{number}"),
        Location::Foreign => format!("http://{}/upload/{number}?Signature=secret", shared.storage),
    }
}

fn end_of(length: usize) -> String {
    format!("0-{}", length.saturating_sub(1))
}
