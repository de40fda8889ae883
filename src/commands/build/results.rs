//! What a finished build becomes: every output in its order, then the files that tell scripts about it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use kiln_builder::{
    Attestation, Built, BuiltTarget, DirectoryOptions, Exported, FilesReport, StepReport,
    store_image, write_archive, write_directory,
};
use kiln_registry::{ArchiveStyle, Layout, ManifestName, push_into};
use kiln_store::{Compression, Digest, ManifestKind, Reference};
use serde_json::{Value, json};

use super::super::push::push_digest;
use super::outputs::{ImageOutput, Output};
use super::provenance::Predicate;
use crate::cli::BuildArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;

/// Written at once to an archive.
const BUFFER: usize = 256 << 10;

/// What scripts are told of the image.
#[derive(Debug, Default)]
pub struct Told {
    /// The digest of the manifest or index, after a push the one in the registry.
    digest: Option<Digest>,
    /// Its media type and size as they are in the store.
    exported: Option<Exported>,
    /// The names given.
    names: Vec<Reference>,
}

/// Gives the result to every output.
pub fn write(
    args: &BuildArgs,
    host: &Host,
    outputs: &[Output],
    built: &Built,
    statement: Option<&Predicate>,
) -> Result<Told, CommandError> {
    let mut told = Told::default();
    for one in outputs {
        match one {
            Output::Image(image) => {
                let image = attested(image, statement);
                image_output(args, host, &image, built, &mut told)?;
            }
            Output::Local {
                destination,
                split,
                delete,
            } => {
                let targets = split_targets(built, *split);
                let options = DirectoryOptions {
                    epoch: built.source_date_epoch,
                    delete: *delete,
                };
                let report = write_directory(&host.store, &targets, options, destination)?;
                tell_files(args, &report, &destination.display().to_string());
            }
            Output::Tar { destination, split } => {
                let targets = split_targets(built, *split);
                let epoch = built.source_date_epoch;
                let report = with_writer(destination.as_deref(), |writer| {
                    Ok(write_archive(&host.store, &targets, epoch, writer)?)
                })?;
                if let Some(destination) = destination {
                    tell_files(args, &report, &destination.display().to_string());
                }
            }
            Output::Layout {
                destination,
                tar,
                image,
            } => {
                let image = attested(image, statement);
                layout(args, host, destination.as_deref(), *tar, &image, built)?;
            }
            Output::DockerArchive { destination, image } => {
                docker_archive(args, host, destination.as_deref(), image, built)?;
            }
            Output::CacheOnly => {}
        }
    }
    Ok(told)
}

/// The image with what is stated of it. A statement names a manifest, so the layers get their blobs before it is made.
fn attested(image: &ImageOutput, statement: Option<&Predicate>) -> ImageOutput {
    let mut image = image.clone();
    if let Some((predicate_type, predicate)) = statement {
        image.options.compression.get_or_insert(Compression::GZIP);
        image.options.attestation = Some(Attestation {
            predicate_type: predicate_type.clone(),
            predicate: predicate.clone(),
            names: image.names.clone(),
        });
    }
    image
}

fn image_output(
    args: &BuildArgs,
    host: &Host,
    image: &ImageOutput,
    built: &Built,
    told: &mut Told,
) -> Result<(), CommandError> {
    let mut options = image.options.clone();
    if image.by_digest && options.compression.is_none() {
        // Its digest is its name, so it has to be known before it is sent.
        options.compression = Some(Compression::GZIP);
    }
    let tags: &[Reference] = match image.keep && !image.by_digest {
        true => &image.names,
        false => &[],
    };
    let exported = store_image(&host.store, &built.targets, &options, tags)?;
    let mut digest = exported.descriptor.digest;
    if image.push {
        for name in &image.names {
            let target = match image.by_digest {
                // Without a tag, the manifest is found by its digest only.
                true => format!("{}@{digest}", name.repository()).parse()?,
                false => name.clone(),
            };
            // What was asked for stands in the manifest already.
            let as_it_is = options.compression.is_some();
            let (progress, quiet) = (args.progress, args.quiet);
            digest = push_digest(host, &target, &digest, as_it_is, progress, quiet)?;
        }
    }
    told.digest = Some(digest);
    told.exported = Some(exported);
    told.names.extend(image.names.iter().cloned());
    Ok(())
}

/// Each target with the folder it goes to.
fn split_targets(built: &Built, split: Option<bool>) -> Vec<(&BuiltTarget, Option<String>)> {
    let split = split.unwrap_or(built.targets.len() > 1);
    let prefix = |target: &BuiltTarget| target.platform.to_string().replace('/', "_");
    built
        .targets
        .iter()
        .map(|target| (target, split.then(|| prefix(target))))
        .collect()
}

fn tell_files(args: &BuildArgs, report: &FilesReport, destination: &str) {
    if args.quiet {
        return;
    }
    output::talk(&format!(
        "wrote {destination}: {} entries, {}",
        report.entries,
        format::size(report.bytes)
    ));
    if report.removed > 0 {
        output::talk(&format!(
            "removed {} from {destination} that the image does not have",
            report.removed
        ));
    }
    if let Some(first) = report.left_out.first() {
        output::talk(&format!(
            "note: {} devices were left out, such as {first}: only root can make them",
            report.left_out.len()
        ));
    }
}

/// Opens the file, or standard output, and takes care that all of it is written. A file appears whole or not at all.
fn with_writer<T>(
    destination: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let Some(path) = destination else {
        let mut writer = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        let result = write(&mut writer)?;
        writer.flush()?;
        return Ok(result);
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.part", std::process::id()));
    let partial = Path::new(&partial);
    let failed = || format!("writing `{}`", path.display());
    let file = File::create(partial).with_context(failed)?;
    let mut writer = BufWriter::with_capacity(BUFFER, file);
    let result = write(&mut writer).and_then(|result| {
        writer.flush().with_context(failed)?;
        std::fs::rename(partial, path).with_context(failed)?;
        Ok(result)
    });
    if result.is_err() {
        // The failure itself is what is told.
        let _ = std::fs::remove_file(partial);
    }
    result
}

/// An OCI image layout: a folder, or a tar of one.
fn layout(
    args: &BuildArgs,
    host: &Host,
    destination: Option<&Path>,
    tar: bool,
    image: &ImageOutput,
    built: &Built,
) -> Result<(), CommandError> {
    let mut options = image.options.clone();
    options.compression.get_or_insert(Compression::GZIP);
    let exported = store_image(&host.store, &built.targets, &options, &[])?;
    let digest = exported.descriptor.digest;
    let Some(folder) = destination.filter(|_| !tar) else {
        return super::archives::write(host, ArchiveStyle::Oci, destination, &digest, &image.names);
    };
    fill_layout(host, folder, &digest, &image.names)?;
    if !args.quiet {
        output::talk(&format!("wrote {}: {digest}", folder.display()));
    }
    Ok(())
}

/// Puts an image of the store into a layout folder.
fn fill_layout(
    host: &Host,
    folder: &Path,
    digest: &Digest,
    names: &[Reference],
) -> Result<(), CommandError> {
    let layout = Layout::create(folder)?;
    let names: Vec<ManifestName> = names
        .iter()
        .map(|name| ManifestName::Tag(name.tag().unwrap_or("latest").to_owned()))
        .collect();
    let quiet = |_| {};
    let pushing = push_into(&layout, &names, &host.store, digest, None, &quiet);
    host.network()?.block_on(pushing)?;
    Ok(())
}

fn docker_archive(
    args: &BuildArgs,
    host: &Host,
    destination: Option<&Path>,
    image: &ImageOutput,
    built: &Built,
) -> Result<(), CommandError> {
    let mut options = image.options.clone();
    options.kind = ManifestKind::Docker;
    options.compression.get_or_insert(Compression::None);
    let exported = store_image(&host.store, &built.targets, &options, &[])?;
    super::archives::write(
        host,
        ArchiveStyle::Docker,
        destination,
        &exported.descriptor.digest,
        &image.names,
    )?;
    if let (false, Some(destination)) = (args.quiet, destination) {
        output::talk(&format!("wrote {}", destination.display()));
    }
    Ok(())
}

/// The image's ID, or of several platforms the digest of the index, as buildx has it.
pub fn image_id(built: &Built, told: &Told) -> String {
    match &told.exported {
        Some(exported) if exported.is_index() => told
            .digest
            .unwrap_or(exported.descriptor.digest)
            .to_string(),
        _ => built.image.id.to_string(),
    }
}

/// Writes `--iidfile` and `--metadata-file`.
pub fn write_files(
    args: &BuildArgs,
    built: &Built,
    told: &Told,
    provenance: impl FnOnce() -> Value,
) -> Result<(), CommandError> {
    if let Some(file) = &args.outputs.iidfile {
        std::fs::write(file, image_id(built, told))
            .with_context(|| format!("writing `{}`", file.display()))?;
    }
    if let Some(file) = &args.outputs.metadata_file {
        let mut metadata = metadata(built, told);
        metadata["buildx.build.provenance"] = provenance();
        std::fs::write(file, format!("{metadata:#}\n"))
            .with_context(|| format!("writing `{}`", file.display()))?;
    }
    Ok(())
}

/// The keys that buildx writes, and kiln's own.
fn metadata(built: &Built, told: &Told) -> Value {
    let mut all = json!({
        "kiln.steps": built.steps.iter().map(step_record).collect::<Vec<_>>(),
    });
    let Some(exported) = &told.exported else {
        return all;
    };
    let digest = told.digest.unwrap_or(exported.descriptor.digest);
    let mut descriptor = json!({
        "mediaType": exported.descriptor.media_type,
        "digest": digest.to_string(),
        "size": exported.descriptor.size,
    });
    if !exported.is_index() {
        all["containerimage.config.digest"] = json!(built.image.id.to_string());
        descriptor["platform"] = json!(exported.descriptor.platform);
    }
    if let Some(annotations) = &exported.descriptor.annotations {
        descriptor["annotations"] = json!(annotations);
    }
    all["containerimage.digest"] = json!(digest.to_string());
    all["containerimage.descriptor"] = descriptor;
    if !told.names.is_empty() {
        let names: Vec<String> = told
            .names
            .iter()
            .map(|name| name.clone().with_default_tag().to_string())
            .collect();
        all["image.name"] = json!(names.join(","));
    }
    all
}

/// What a program may want to know of a step.
fn step_record(step: &StepReport) -> Value {
    json!({
        "name": step.name,
        "cached": step.outcome.is_cached(),
        "milliseconds": step.duration.as_secs_f64() * 1e3,
        "bytes": step.bytes,
    })
}
