//! `kiln tags`, `digest`, `manifest`, `delete`, `catalog`: looking into registries, and into everything else that holds images.

use kiln_registry::{Access, Layout, ManifestName, Place, Repository};
use kiln_store::{Descriptor, Index, Manifest, Platform, Reference};
use serde_json::{Value, json};

use super::copy::Ends;
use crate::cli::{CatalogArgs, DeleteArgs, DigestArgs, ManifestArgs, TagsArgs};
use crate::error::CommandError;
use crate::output;
use crate::settings::Settings;

/// The largest configuration that is shown.
const CONFIG_LIMIT: u64 = 8 << 20;

/// Lists the tags of a repository, or the names in a layout or archive.
pub fn tags(args: &TagsArgs, settings: &Settings) -> Result<u8, CommandError> {
    let ends = Ends::one_sided(args.look.side(), &args.look.tls, settings)?;
    let place: Place = args.name.parse()?;
    let (name, tags) = match &place {
        Place::Registry(reference) => {
            let client = ends.source_client(reference.domain())?;
            let tags = ends.network.block_on(client.tags(reference));
            let tags = tags.map_err(|error| super::registry_failure(error, reference))?;
            (reference.name(), tags)
        }
        Place::Layout(path, None) => {
            let entries = Layout::open(path)?.entries()?;
            (
                place.to_string(),
                entries.into_iter().filter_map(|(name, _)| name).collect(),
            )
        }
        Place::LayoutArchive(path, None) | Place::DockerArchive(path, None) => {
            let archive = ends.network.block_on(ends.archive(path))?;
            let mut names: Vec<String> = archive
                .images()
                .into_iter()
                .flat_map(|(_, names)| names)
                .map(|name| name.familiar())
                .collect();
            if names.is_empty() {
                names = archive
                    .entries()
                    .iter()
                    .filter_map(|(name, _)| name.clone())
                    .collect();
            }
            (place.to_string(), names)
        }
        other => return Err(CommandError::usage(format!("{other} has no tags"))),
    };
    match args.format.as_deref() {
        Some("json") => {
            let value = json!({"Repository": name, "Tags": tags});
            output::data(&format!("{value:#}\n"))?;
        }
        None | Some("") => {
            let lines: String = tags.iter().map(|tag| format!("{tag}\n")).collect();
            output::data(&lines)?;
        }
        Some(other) => {
            return Err(CommandError::usage(format!(
                "`--format {other}` is not known: `json` is"
            )));
        }
    }
    Ok(0)
}

/// Prints what names mean now.
pub fn digest(args: &DigestArgs, settings: &Settings) -> Result<u8, CommandError> {
    let ends = Ends::one_sided(args.look.side(), &args.look.tls, settings)?;
    for name in &args.names {
        let place: Place = name.parse()?;
        let work = async {
            let source = ends.source(&place).await?;
            let descriptor = descriptor(
                source.repository.as_ref(),
                &source.name,
                args.platform.as_deref(),
            )
            .await?;
            Ok::<_, CommandError>(descriptor.digest)
        };
        let digest = ends
            .network
            .block_on(work)
            .map_err(|error| refused(error, &place))?;
        output::data(&format!("{digest}\n"))?;
    }
    Ok(0)
}

/// The descriptor of what a name means: without a platform the least that a registry can be asked for.
async fn descriptor(
    repository: &dyn Repository,
    name: &ManifestName,
    platform: Option<&str>,
) -> Result<Descriptor, CommandError> {
    let Some(platform) = platform else {
        let found = repository.head_manifest(name).await?;
        let missing = || kiln_registry::Error::NotFound(format!("{}:{name}", repository.name()));
        return Ok(found.ok_or_else(missing)?);
    };
    let platform = platform.parse::<Platform>()?.normalized();
    let root = repository.manifest(name).await?;
    if !kiln_store::media_type::is_index(&root.descriptor.media_type) {
        return Ok(root.descriptor);
    }
    let index: Index = serde_json::from_slice(&root.bytes)?;
    let (entries, platforms): (Vec<_>, Vec<_>) = index.images().unzip();
    match platform.best_match(&platforms) {
        Some(position) => Ok(entries[position].clone()),
        None => {
            let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            Err(kiln_registry::Error::NoPlatform {
                reference: format!("{}:{name}", repository.name()),
                wanted: platform.to_string(),
                available: names.join(", "),
            }
            .into())
        }
    }
}

/// Prints a manifest, or the configuration that it names.
pub fn manifest(args: &ManifestArgs, settings: &Settings) -> Result<u8, CommandError> {
    let (word, name) = match args.words.as_slice() {
        [name] => ("inspect", name),
        [word, name] if matches!(word.as_str(), "inspect" | "raw" | "config") => {
            (word.as_str(), name)
        }
        _ => {
            return Err(CommandError::usage(
                "one image, please: `kiln manifest inspect NAME`",
            ));
        }
    };
    let ends = Ends::one_sided(args.look.side(), &args.look.tls, settings)?;
    let place: Place = name.parse()?;
    let work = async {
        let source = ends.source(&place).await?;
        let repository = source.repository.as_ref();
        let platform = args.platform.as_deref();
        let mut name = source.name.clone();
        if platform.is_some() {
            name = ManifestName::Digest(descriptor(repository, &name, platform).await?.digest);
        }
        let mut root = repository.manifest(&name).await?;
        if word != "config" {
            return Ok::<_, CommandError>(root.bytes.to_vec());
        }
        if kiln_store::media_type::is_index(&root.descriptor.media_type) {
            let host = Platform::host().to_string();
            let chosen = descriptor(repository, &name, Some(&host)).await?;
            root = repository
                .manifest(&ManifestName::Digest(chosen.digest))
                .await?;
        }
        let manifest: Manifest = serde_json::from_slice(&root.bytes)?;
        Ok(kiln_registry::small_blob(repository, &manifest.config, CONFIG_LIMIT).await?)
    };
    let bytes = ends
        .network
        .block_on(work)
        .map_err(|error| refused(error, &place))?;
    if args.raw || word == "raw" {
        use std::io::Write;
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&bytes)?;
        stdout.flush()?;
    } else {
        let value: Value = serde_json::from_slice(&bytes)?;
        output::data(&format!("{value:#}\n"))?;
    }
    Ok(0)
}

/// Deletes tags, or manifests by their digests.
pub fn delete(args: &DeleteArgs, settings: &Settings) -> Result<u8, CommandError> {
    let ends = Ends::one_sided(args.look.side(), &args.look.tls, settings)?;
    for name in &args.names {
        let Place::Registry(reference) = name.parse::<Place>()? else {
            return Err(CommandError::usage(format!("`{name}` is in no registry"))
                .hint("`kiln rmi` removes images of the store"));
        };
        let reference = reference.with_default_tag();
        let client = ends.target_client(reference.domain())?;
        let repository = client.repository(&reference, Access::Delete);
        let deleted = match (reference.tag(), reference.digest()) {
            (Some(tag), None) => {
                // The trick for registries that delete no tags needs the right to write.
                let writing = client.repository(&reference, Access::Push);
                ends.network
                    .block_on(kiln_registry::delete_tag(&repository, &writing, tag))
            }
            (_, Some(digest)) => ends.network.block_on(kiln_registry::delete_digest(
                &repository,
                digest,
                args.force,
            )),
            (None, None) => continue,
        };
        let way = deleted.map_err(|error| super::registry_failure(error, &reference))?;
        output::data(&format!("Deleted: {reference}\n"))?;
        if let Some(note) = way.note() {
            output::talk(note);
        }
    }
    Ok(0)
}

/// Lists the repositories of a registry.
pub fn catalog(args: &CatalogArgs, settings: &Settings) -> Result<u8, CommandError> {
    let ends = Ends::one_sided(args.look.side(), &args.look.tls, settings)?;
    let registry = args
        .registry
        .trim_start_matches("docker://")
        .trim_end_matches('/');
    // A registry's name has the form of the domain of a reference.
    let reference: Reference = format!("{registry}/x").parse()?;
    let client = ends.source_client(reference.domain())?;
    let names = ends.network.block_on(client.catalog(reference.domain()));
    let names = names.map_err(|error| super::registry_failure(error, &reference))?;
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    output::data(&lines)?;
    Ok(0)
}

fn refused(error: CommandError, place: &Place) -> CommandError {
    match (error.registry_refused(), place) {
        (Some(registry), Place::Registry(_)) => {
            error.hint(format!("`kiln login {registry}` stores credentials"))
        }
        _ => error,
    }
}
