//! Everything known about an image, as docker shapes it.

use kiln_store::{Digest, Reference};
use serde_json::{Value, json};

use super::layer_bytes;
use crate::error::CommandError;
use crate::host::Host;

/// An image as JSON.
pub fn inspect(host: &Host, digest: &Digest) -> Result<Value, CommandError> {
    let image = host.store.any_image(digest)?;
    let stored = host.store.images()?;
    let stored = stored.iter().find(|stored| stored.digest == *digest);
    let names: Vec<&Reference> = stored.iter().flat_map(|stored| &stored.tags).collect();
    let (by_digest, tags): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| name.digest().is_some());
    let origins = host.store.origins()?;
    let mut digests: Vec<String> = by_digest.iter().map(|name| name.familiar()).collect();
    for known in [digest, &image.manifest_digest] {
        for repository in origins.get(known).into_iter().flatten() {
            let name = format!("{}@{known}", repository.familiar_name());
            if !digests.contains(&name) {
                digests.push(name);
            }
        }
    }
    let config: Value = serde_json::from_slice(&image.config_bytes)?;
    let layers: Vec<String> = image
        .config
        .diff_ids()
        .iter()
        .map(ToString::to_string)
        .collect();
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let comment = image.config.history.last();
    let comment = comment.and_then(|entry| entry.comment.clone());
    Ok(json!({
        "Id": image.id.to_string(),
        "RepoTags": tags.iter().map(|tag| tag.familiar()).collect::<Vec<_>>(),
        "RepoDigests": digests,
        "Digest": digest.to_string(),
        "Parent": "",
        "Comment": comment.unwrap_or_default(),
        "Created": config["created"],
        "DockerVersion": "",
        "Author": text("author"),
        "Architecture": config["architecture"],
        "Variant": text("variant"),
        "Os": config["os"],
        "OsVersion": text("os.version"),
        "Size": layer_bytes(&host.store, &image)?,
        "Config": config["config"],
        "GraphDriver": {"Name": "overlay2", "Data": null},
        "RootFS": {"Type": "layers", "Layers": layers},
        "Metadata": {"LastTagTime": stored.and_then(|it| seconds(it.created))},
        "Descriptor": {
            "mediaType": image.manifest.media_type,
            "digest": image.manifest_digest.to_string(),
            "size": image.manifest_bytes.len(),
        },
    }))
}

/// Seconds since 1970 as RFC 3339.
fn seconds(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
}
