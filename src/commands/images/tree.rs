//! The platforms of an image, for `kiln images --tree`.

use kiln_store::{Digest, Index, MANIFEST_LIMIT, Store};
use serde_json::{Value, json};

use super::{layer_bytes, short};
use crate::commands::ago;
use crate::error::CommandError;
use crate::format;

/// One row for each platform that an index offers; none for a single image.
pub(super) fn platforms(
    store: &Store,
    digest: &Digest,
    no_trunc: bool,
) -> Result<Vec<Value>, CommandError> {
    let bytes = store.read_blob(digest, MANIFEST_LIMIT)?;
    let Ok(index) = serde_json::from_slice::<Index>(&bytes) else {
        return Ok(Vec::new());
    };
    let all: Vec<_> = index.images().collect();
    let mut rows = Vec::new();
    for (position, (manifest, platform)) in all.iter().enumerate() {
        let branch = if position + 1 == all.len() {
            "└─"
        } else {
            "├─"
        };
        let (mut created, mut size) = (String::new(), String::new());
        if store.blob_size(&manifest.digest)?.is_some() {
            let image = store.image(&manifest.digest)?;
            created = image.config.created.clone().unwrap_or_default();
            size = format::size(layer_bytes(store, &image)?);
        }
        let id = manifest.digest.to_string();
        rows.push(json!({
            "ID": if no_trunc { id } else { short(&id) },
            "Repository": format!("{branch} {platform}"),
            "Tag": "",
            "Digest": manifest.digest.to_string(),
            "CreatedAt": format::date(&created),
            "CreatedSince": ago(&created),
            "Size": size,
        }));
    }
    Ok(rows)
}
