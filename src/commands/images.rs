//! `kiln images`, `tag`, `rmi`, `history`.

use kiln_runtime::container::Containers;
use kiln_store::{Digest, Image, Reference, Store};
use serde_json::{Value, json};

use crate::cli::{HistoryArgs, ImagesArgs, RemoveImageArgs, TagArgs};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Digits of an ID that are shown.
const SHORT: usize = 12;

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

/// Lists images.
pub fn list(args: &ImagesArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let mut rows = Vec::new();
    for stored in host.store.images()? {
        let image = host.store.any_image(&stored.digest)?;
        let size: u64 = layer_bytes(&host.store, &image)?;
        let names: Vec<Option<&Reference>> = if stored.tags.is_empty() {
            vec![None]
        } else {
            stored.tags.iter().map(Some).collect()
        };
        for name in names {
            if wanted(args.name.as_deref(), name) {
                rows.push(row(args, name, &image, &stored.digest, size));
            }
        }
    }
    print(args.format.as_deref(), args.quiet, args.digests, &rows)
}

fn wanted(asked: Option<&str>, name: Option<&Reference>) -> bool {
    let Some(asked) = asked else { return true };
    match (asked.parse::<Reference>(), name) {
        (Ok(asked), Some(name)) => {
            asked.domain() == name.domain()
                && asked.path() == name.path()
                && (asked.tag().is_none() || asked.tag() == name.tag())
        }
        _ => false,
    }
}

/// What the unpacked layers of an image take, each counted once.
fn layer_bytes(store: &Store, image: &Image) -> Result<u64, CommandError> {
    let mut bytes = 0;
    for layer in image.config.diff_ids() {
        bytes += store.layer(layer)?.map_or(0, |record| record.tar_size);
    }
    Ok(bytes)
}

fn row(
    args: &ImagesArgs,
    name: Option<&Reference>,
    image: &Image,
    digest: &Digest,
    size: u64,
) -> Value {
    let id = image.id.0.hex();
    let none = || "<none>".to_owned();
    let created = image.config.created.as_deref().unwrap_or_default();
    json!({
        "ID": if args.no_trunc { image.id.to_string() } else { id[..SHORT.min(id.len())].to_owned() },
        "Repository": name.map_or_else(none, |name| name.familiar_name()),
        "Tag": name.and_then(|name| name.tag()).map_or_else(none, str::to_owned),
        "Digest": digest.to_string(),
        "CreatedAt": created,
        "CreatedSince": super::ago(created),
        "Size": format::size(size),
        "SizeBytes": size,
    })
}

fn print(
    style: Option<&str>,
    quiet: bool,
    digests: bool,
    rows: &[Value],
) -> Result<u8, CommandError> {
    if quiet {
        return super::print_rows(Some("{{.ID}}"), &[], rows);
    }
    let mut columns = vec![("REPOSITORY", "Repository"), ("TAG", "Tag")];
    if digests {
        columns.push(("DIGEST", "Digest"));
    }
    columns.extend([
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
    ]);
    super::print_rows(style, &columns, rows)
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

/// Removes names, and images that no name is left for.
pub fn remove(args: &RemoveImageArgs, settings: &Settings) -> Result<u8, CommandError> {
    let mut code = 0;
    for name in &args.images {
        if let Err(error) = remove_one(settings, name, args.force) {
            let _ = error.report();
            code = 1;
        }
    }
    Ok(code)
}

/// An image that is to go.
struct Doomed {
    digest: Digest,
    id: String,
    tags: Vec<Reference>,
}

fn remove_one(settings: &Settings, name: &str, force: bool) -> Result<(), CommandError> {
    let doomed = choose(&Host::local(settings)?, name, force)?;
    // A store holds what was looked up through it: the removal needs one that has looked at nothing.
    let host = Host::local(settings)?;
    let by_name = name
        .parse::<Reference>()
        .ok()
        .map(Reference::with_default_tag);
    let (named, others): (Vec<_>, Vec<_>) = doomed
        .tags
        .iter()
        .partition(|tag| Some(*tag) == by_name.as_ref());
    let whole = named.is_empty() || others.is_empty();
    for tag in if named.is_empty() { others } else { named } {
        host.store.untag(tag)?;
        output::data(&format!("Untagged: {tag}\n"))?;
    }
    if whole {
        Containers::open(host.store.clone())?.release_left_pins()?;
        let report = host.store.remove_image(&doomed.digest)?;
        if report.is_some_and(|report| report.images.contains(&doomed.digest)) {
            output::data(&format!("Deleted: {}\n", doomed.id))?;
        }
    }
    Ok(())
}

/// Finds what is to go, and refuses what is in use.
fn choose(host: &Host, name: &str, force: bool) -> Result<Doomed, CommandError> {
    let digest = require(&host.store, name)?;
    let tags: Vec<Reference> = host
        .store
        .tags()?
        .into_iter()
        .filter(|(_, tagged)| *tagged == digest)
        .map(|(tag, _)| tag)
        .collect();
    let by_name = name
        .parse::<Reference>()
        .ok()
        .map(Reference::with_default_tag);
    let only_a_name = tags.len() > 1 && by_name.is_some_and(|name| tags.contains(&name));
    if !force && !only_a_name {
        super::containers::refuse_if_used(host, &digest, name)?;
        if tags.len() > 1 {
            return Err(
                CommandError::usage(format!("{name} has {} names", tags.len()))
                    .code(1)
                    .hint("remove them by name, or all of them with `--force`"),
            );
        }
    }
    let id = host.store.any_image(&digest)?.id.to_string();
    Ok(Doomed { digest, id, tags })
}

/// Shows how an image was made, the last step first.
pub fn history(args: &HistoryArgs, settings: &Settings) -> Result<u8, CommandError> {
    /// Columns of a command that fit beside the others.
    const WIDTH: usize = 45;
    let host = Host::local(settings)?;
    let image = host.store.any_image(&require(&host.store, &args.image)?)?;
    let mut sizes = Vec::new();
    for layer in image.config.diff_ids() {
        sizes.push(host.store.layer(layer)?.map_or(0, |record| record.tar_size));
    }
    let mut sizes = sizes.into_iter();
    let mut rows = Vec::new();
    for entry in &image.config.history {
        let size = if entry.empty_layer {
            0
        } else {
            sizes.next().unwrap_or_default()
        };
        let created = entry.created.clone().unwrap_or_default();
        let mut by = entry
            .created_by
            .clone()
            .unwrap_or_default()
            .replace('\n', " ");
        if !args.no_trunc && by.chars().count() > WIDTH {
            by = by.chars().take(WIDTH - 1).chain(['…']).collect();
        }
        rows.push(json!({
            "ID": "<missing>",
            "CreatedAt": created,
            "CreatedSince": super::ago(&created),
            "CreatedBy": by,
            "Size": format::size(size),
            "Comment": entry.comment.clone().unwrap_or_default(),
        }));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        let id = image.id.0.hex();
        first["ID"] = json!(if args.no_trunc {
            image.id.to_string()
        } else {
            id[..SHORT].to_owned()
        });
    }
    if args.quiet {
        return super::print_rows(Some("{{.ID}}"), &[], &rows);
    }
    let columns = [
        ("IMAGE", "ID"),
        ("CREATED", "CreatedSince"),
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    ];
    super::print_rows(args.format.as_deref(), &columns, &rows)
}
