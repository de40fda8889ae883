//! `kiln images`, `tag`, `rmi`, `history`, and images in `inspect` and `df`.

mod filter;
mod history;
mod inspect;
mod remove;
mod tree;
mod usage;

use std::collections::HashSet;

use kiln_runtime::container::Containers;
use kiln_store::{Digest, Image, ImageId, Reference, Store, StoredImage};
use serde_json::{Value, json};

use crate::cli::{ImagesArgs, TagArgs};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

use filter::Filters;
pub use filter::label;
pub use history::history;
pub use inspect::inspect;
pub use remove::remove;
pub use usage::usage;

/// Digits of an ID that are shown.
const SHORT: usize = 12;
/// What stands in the place of a name or tag that there is not.
const NONE: &str = "<none>";

/// Finds an image by name, by ID or by the beginning of its ID.
pub fn find(store: &Store, name: &str) -> Result<Option<Digest>, CommandError> {
    if let Ok(reference) = name.parse::<Reference>()
        && let Some(digest) = store.resolve(&reference)?
    {
        return Ok(Some(digest));
    }
    Ok(store.find_image(name)?)
}

/// Finds an image that has to be there.
pub fn require(store: &Store, name: &str) -> Result<Digest, CommandError> {
    find(store, name)?.ok_or_else(|| {
        CommandError::usage(format!("No such image: {name}"))
            .code(1)
            .hint("`kiln images` lists what there is")
    })
}

/// One line of the list: an image under one of its names.
struct Line<'a> {
    name: Option<&'a Reference>,
    stored: &'a StoredImage,
    /// Nothing for an image that is damaged.
    image: Option<&'a Image>,
    size: u64,
}

/// Lists images.
pub fn list(args: &ImagesArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let mut filters = Filters::parse(&host.store, &args.filter)?;
    if let Some(name) = &args.name {
        filters.name(name)?;
    }
    let users = users(&host)?;
    let mut rows = Vec::new();
    for (stored, image) in each_once(&host.store)? {
        let size = match &image {
            Some(image) => layer_bytes(&host.store, image)?,
            None => 0,
        };
        let names = stored.tags.iter().map(Some);
        let unnamed = stored.tags.is_empty().then_some(None);
        for name in names.chain(unnamed) {
            let line = Line {
                name,
                stored: &stored,
                image: image.as_ref(),
                size,
            };
            if filters.accept(&line)? {
                rows.push(row(args, &line, &users));
                if args.tree {
                    rows.extend(tree::platforms(&host.store, &stored.digest, args.no_trunc)?);
                }
            }
        }
    }
    print(args, &rows)
}

/// All images, newest first. Of several manifests of one image, as before and after a push, those with a name, or else the
/// newest.
fn each_once(store: &Store) -> Result<Vec<(StoredImage, Option<Image>)>, CommandError> {
    let mut all = Vec::new();
    for stored in store.images()? {
        let image = readable(store, &stored)?;
        all.push((stored, image));
    }
    let named = all.iter().filter(|(stored, _)| !stored.tags.is_empty());
    let mut shown: HashSet<ImageId> = named
        .filter_map(|(_, image)| image.as_ref().map(|image| image.id))
        .collect();
    all.retain(|(stored, image)| {
        let is_new = image.as_ref().is_none_or(|image| shown.insert(image.id));
        is_new || !stored.tags.is_empty()
    });
    Ok(all)
}

/// Reads an image; one that is damaged is told of and does not keep the others from being shown.
fn readable(store: &Store, stored: &StoredImage) -> Result<Option<Image>, CommandError> {
    match store.any_image(&stored.digest) {
        Ok(image) => Ok(Some(image)),
        Err(error) if error.io_kind().is_some() => Err(error.into()),
        Err(error) => {
            output::talk(&format!(
                "warning: image {} cannot be read: {error}",
                stored.digest
            ));
            Ok(None)
        }
    }
}

/// The identities of images that containers are made from, one for each container.
fn users(host: &Host) -> Result<Vec<String>, CommandError> {
    let containers = Containers::open(host.store.clone())?.list()?;
    let id =
        |container: &kiln_runtime::container::Container| container.config().image.id.to_string();
    Ok(containers.iter().map(id).collect())
}

/// What the unpacked layers of an image take, each counted once.
fn layer_bytes(store: &Store, image: &Image) -> Result<u64, CommandError> {
    let mut bytes = 0;
    for layer in image.config.diff_ids() {
        bytes += store.layer(layer)?.map_or(0, |record| record.tar_size);
    }
    Ok(bytes)
}

fn row(args: &ImagesArgs, line: &Line<'_>, users: &[String]) -> Value {
    let id = line.image.map_or_else(
        || line.stored.digest.to_string(),
        |image| image.id.to_string(),
    );
    let created = line
        .image
        .and_then(|image| image.config.created.clone())
        .unwrap_or_default();
    let none = || NONE.to_owned();
    json!({
        "ID": if args.no_trunc { id.clone() } else { short(&id) },
        "Repository": line.name.map_or_else(none, |name| name.familiar_name()),
        "Tag": line.name.and_then(|name| name.tag()).map_or_else(none, str::to_owned),
        "Digest": line.stored.digest.to_string(),
        "CreatedAt": format::date(&created),
        "CreatedSince": super::ago(&created),
        "Size": format::size(line.size),
        "VirtualSize": format::size(line.size),
        "SizeBytes": line.size,
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": users.iter().filter(|user| **user == id).count().to_string(),
    })
}

/// The first digits of an ID or digest.
fn short(id: &str) -> String {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.chars().take(SHORT).collect()
}

fn print(args: &ImagesArgs, rows: &[Value]) -> Result<u8, CommandError> {
    if args.quiet {
        return super::print_rows(Some("{{.ID}}"), &[], rows);
    }
    let mut columns = vec![("REPOSITORY", "Repository"), ("TAG", "Tag")];
    if args.digests {
        columns.push(("DIGEST", "Digest"));
    }
    columns.extend([
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
    ]);
    super::print_rows(args.format.as_deref(), &columns, rows)
}

/// Gives an image another name.
pub fn tag(args: &TagArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let digest = require(&host.store, &args.source)?;
    let target: Reference = args.target.parse()?;
    if target.digest().is_some() {
        return Err(CommandError::usage(format!(
            "refusing to create a tag with a digest reference: {}",
            args.target
        )));
    }
    host.store.tag(&target, &digest)?;
    Ok(0)
}
