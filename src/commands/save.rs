//! `kiln save` and `kiln load`: images as one file.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use kiln_registry::{
    Archive, ArchiveStyle, ArchiveWriter, CopyOptions, ManifestName, Platforms, Repository,
    StoredImages,
};
use kiln_store::{Digest, Index, Manifest, Platform, Reference, media_type};

use super::images;
use crate::cli::{LoadArgs, ProgressMode, SaveArgs, SideArgs, TlsArgs};
use crate::error::CommandError;
use crate::host::Host;
use crate::output::{self, Progress};
use crate::settings::Settings;

/// One image to save, with the name that it gets in the archive.
struct Wanted {
    digest: Digest,
    shown: String,
    name: Option<Reference>,
}

/// Writes images into an archive that docker loads.
pub fn save(args: &SaveArgs, settings: &Settings) -> Result<u8, CommandError> {
    if args.output.is_none() && std::io::stdout().is_terminal() {
        return Err(CommandError::usage(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        )
        .code(1));
    }
    let host = Host::local(settings)?;
    let mut wanted = Vec::new();
    for image in &args.images {
        wanted.extend(find(&host, image)?);
    }
    let platform = match &args.platform {
        Some(platform) => Some(platform.parse::<Platform>()?.normalized()),
        None => None,
    };
    let writer = match args.output.as_deref() {
        Some(path) if path != Path::new("-") => ArchiveWriter::create(path, ArchiveStyle::Docker)?,
        _ => ArchiveWriter::stream(
            "standard output",
            Box::new(std::io::stdout()),
            ArchiveStyle::Docker,
        )?,
    };
    let progress = progress(args.progress, false);
    let saving = async {
        for image in &wanted {
            put(&host, &writer, image, platform.as_ref(), &progress).await?;
        }
        Ok::<_, CommandError>(writer.finish().await?)
    };
    let saved = host.network()?.block_on(saving);
    progress.finish();
    saved?;
    Ok(0)
}

/// The images of a name: as with docker, a name without a tag means all its tags.
fn find(host: &Host, image: &str) -> Result<Vec<Wanted>, CommandError> {
    let reference = image.parse::<Reference>().ok();
    if let Some(reference) = reference
        .as_ref()
        .filter(|reference| reference.tag().is_none() && reference.digest().is_none())
    {
        let tags: Vec<Wanted> = host
            .store
            .tags()?
            .into_iter()
            .filter(|(tag, _)| tag.tag().is_some() && tag.repository() == *reference)
            .map(|(tag, digest)| Wanted {
                digest,
                shown: tag.familiar(),
                name: Some(tag),
            })
            .collect();
        if !tags.is_empty() {
            return Ok(tags);
        }
    }
    let digest = images::require(&host.store, image)?;
    // An identifier is no name.
    let name = reference.filter(|reference| reference.tag().is_some());
    let is_named = match &name {
        Some(name) => host.store.resolve(name)? == Some(digest),
        None => false,
    };
    Ok(vec![Wanted {
        digest,
        shown: image.to_owned(),
        name: name.filter(|_| is_named),
    }])
}

async fn put(
    host: &Host,
    writer: &ArchiveWriter,
    image: &Wanted,
    platform: Option<&Platform>,
    progress: &Progress,
) -> Result<(), CommandError> {
    let wish = platform.map(|platform| Platforms::One(platform.clone()));
    let stored = StoredImages::open(&host.store, &image.digest, &image.shown, wish.as_ref());
    let stored = stored.await?;
    let root = stored.root_name();
    let from: Arc<dyn Repository> = Arc::new(stored);
    let names: Vec<ManifestName> = image
        .name
        .iter()
        .map(|name| ManifestName::Tag(name.to_string()))
        .collect();
    let options = CopyOptions::default();
    kiln_registry::copy(
        &from,
        &root,
        writer,
        &names,
        &options,
        &progress.transfers(),
    )
    .await?;
    Ok(())
}

/// Takes the images of an archive into the store.
pub fn load(args: &LoadArgs, settings: &Settings) -> Result<u8, CommandError> {
    let input = args.input.as_deref().unwrap_or(Path::new("-"));
    if input == Path::new("-") && std::io::stdin().is_terminal() {
        return Err(
            CommandError::usage("requested load from stdin, but stdin is empty")
                .code(1)
                .hint("name the archive with `--input FILE`, or redirect standard input"),
        );
    }
    let host = Host::local(settings)?;
    let mut ends =
        super::copy::Ends::one_sided(SideArgs::default(), &TlsArgs::default(), settings)?;
    // What comes through a pipe lies beside what is made of it.
    ends.scratch = host.store.root().join("tmp");
    let archive = ends.network.block_on(ends.archive(input))?;
    let progress = progress(args.progress, args.quiet);
    for (digest, names) in archive.images() {
        let loading = load_one(
            &host,
            &archive,
            &digest,
            &names,
            args.platform.as_deref(),
            &progress,
        );
        let loaded = ends.network.block_on(loading);
        let id = match loaded {
            Ok(Some(id)) => id,
            // A signature or another artifact beside the images.
            Ok(None) => continue,
            Err(error) => {
                progress.finish();
                return Err(error);
            }
        };
        if names.is_empty() {
            output::data(&format!("Loaded image ID: {id}\n"))?;
        }
        for name in names {
            output::data(&format!("Loaded image: {}\n", name.familiar()))?;
        }
    }
    progress.finish();
    host.settle_later()?;
    Ok(0)
}

/// Loads one image; gives its identifier, or nothing if it is no image.
async fn load_one(
    host: &Host,
    archive: &Archive,
    digest: &Digest,
    names: &[Reference],
    platform: Option<&str>,
    progress: &Progress,
) -> Result<Option<String>, CommandError> {
    let name = ManifestName::Digest(*digest);
    let document = archive.manifest(&name).await?;
    let platform = match platform {
        Some(platform) => platform.parse::<Platform>()?.normalized(),
        None if media_type::is_index(&document.descriptor.media_type) => {
            let index: Index = serde_json::from_slice(&document.bytes)?;
            let platforms: Vec<Platform> = index.images().map(|(_, platform)| platform).collect();
            let host = Platform::host();
            // An archive for another machine is loaded all the same, as docker does.
            match (host.best_match(&platforms), platforms.into_iter().next()) {
                (Some(_), _) => host,
                (None, Some(first)) => first,
                (None, None) => return Ok(None),
            }
        }
        None => {
            let manifest: Manifest = serde_json::from_slice(&document.bytes)?;
            if !media_type::is_image_config(&manifest.config.media_type) {
                return Ok(None);
            }
            Platform::host()
        }
    };
    let pulled = kiln_registry::pull_from(
        archive,
        &name,
        &host.store,
        &platform,
        names,
        &progress.transfers(),
    )
    .await?;
    Ok(Some(pulled.image.id.to_string()))
}

/// Progress for a terminal. Docker says nothing elsewhere, and scripts read what `load` prints.
fn progress(mode: ProgressMode, quiet: bool) -> Progress {
    let silent = mode == ProgressMode::Auto && !std::io::stderr().is_terminal();
    Progress::new(mode, quiet || silent, false)
}
