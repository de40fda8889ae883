//! What each image takes, for `kiln df --verbose`.

use kiln_store::DiskUsage;
use serde_json::{Value, json};

use super::{NONE, each_once, short, users};
use crate::commands::{ago, print_rows};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;

/// Lists images with what they share.
pub fn usage(host: &Host, usage: &DiskUsage, style: Option<&str>) -> Result<u8, CommandError> {
    let users = users(host)?;
    let mut rows: Vec<Value> = Vec::new();
    for (stored, image) in each_once(&host.store)? {
        let Some(part) = usage.per_image.iter().find(|it| it.digest == stored.digest) else {
            continue;
        };
        let id = image
            .as_ref()
            .map_or(stored.digest.to_string(), |image| image.id.to_string());
        let created = image
            .and_then(|image| image.config.created)
            .unwrap_or_default();
        let names = stored.tags.iter().map(Some);
        let unnamed = stored.tags.is_empty().then_some(None);
        for name in names.chain(unnamed) {
            let none = || NONE.to_owned();
            rows.push(json!({
                "ID": short(&id),
                "Repository": name.map_or_else(none, |name| name.familiar_name()),
                "Tag": name.and_then(|name| name.tag()).map_or_else(none, str::to_owned),
                "CreatedSince": ago(&created),
                "Size": format::size(part.bytes),
                "SharedSize": format::size(part.bytes - part.unique),
                "UniqueSize": format::size(part.unique),
                "SizeBytes": part.bytes,
                "UniqueSizeBytes": part.unique,
                "Containers": users.iter().filter(|user| **user == id).count().to_string(),
            }));
        }
    }
    let columns = [
        ("REPOSITORY", "Repository"),
        ("TAG", "Tag"),
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
        ("SHARED SIZE", "SharedSize"),
        ("UNIQUE SIZE", "UniqueSize"),
        ("CONTAINERS", "Containers"),
    ];
    print_rows(style, &columns, &rows)
}
