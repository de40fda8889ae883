//! Manifests and tags.

use std::sync::Arc;

use kiln_store::Digest;

use super::Shared;
use super::http::{Head, Reply};
use super::reads::with_digest;

/// `/v2/<name>/manifests/<tag or digest>`.
pub fn answer(shared: &Arc<Shared>, head: &Head, body: &[u8]) -> Reply {
    let Some((repository, name)) = head
        .path()
        .strip_prefix("/v2/")
        .and_then(|rest| rest.split_once("/manifests/"))
    else {
        return Reply::new(404);
    };
    match head.method.as_str() {
        "GET" | "HEAD" => read(shared, repository, name),
        "PUT" => put(shared, head, repository, name, body),
        _ => Reply::new(405),
    }
}

fn read(shared: &Shared, repository: &str, name: &str) -> Reply {
    let found = shared
        .state
        .lock()
        .unwrap()
        .manifest(repository, name)
        .cloned();
    let Some((media_type, bytes)) = found else {
        return Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    };
    let mut reply = Reply::new(200).header("Content-Type", media_type);
    for (name, value) in shared.profile.manifest_headers {
        reply = reply.header(name, *value);
    }
    let digest = Digest::sha256(&bytes).to_string();
    with_digest(shared, reply.body(bytes), &digest)
}

fn put(shared: &Shared, head: &Head, repository: &str, name: &str, body: &[u8]) -> Reply {
    let media_type = head.header("content-type");
    if media_type.contains("vnd.docker") && !shared.profile.docker_types {
        return Reply::error(415, "MANIFEST_INVALID", "only OCI media types are taken");
    }
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Reply::error(400, "MANIFEST_INVALID", "not JSON");
    };
    let digest = Digest::sha256(body).to_string();
    if name.contains(':') && name != digest {
        return Reply::error(
            400,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        );
    }
    let mut state = shared.state.lock().unwrap();
    for part in ["config", "layers", "manifests"] {
        let entries = match &document[part] {
            serde_json::Value::Array(entries) => entries.clone(),
            serde_json::Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        for entry in entries {
            let wanted = entry["digest"].as_str().unwrap_or("");
            let there = if part == "manifests" {
                state.manifest(repository, wanted).is_some()
            } else {
                state.blob(repository, wanted).is_some()
            };
            if !there {
                return Reply::error(
                    400,
                    "MANIFEST_BLOB_UNKNOWN",
                    &format!("{wanted} is not here"),
                );
            }
        }
    }
    state.keep_manifest(repository, name, media_type, body);
    drop(state);
    with_digest(shared, Reply::new(201), &digest)
}

/// `/v2/<name>/tags/list`.
pub fn tags(shared: &Shared, repository: &str) -> Reply {
    let names = shared.state.lock().unwrap().tags(repository);
    Reply::new(200).body(serde_json::json!({"name": repository, "tags": names}).to_string())
}
