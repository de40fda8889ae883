//! `kiln copy`.

mod ends;
mod mirror;
mod summary;

use kiln_registry::{Conversion, Copied, CopyOptions, ManifestName, Place, Platforms};
use kiln_store::{Compression, Digest, Platform};

use crate::cli::{CompressArg, CopyArgs};
use crate::error::CommandError;
use crate::output::{self, Progress};
use crate::settings::Settings;

pub use ends::Ends;
use ends::Source;

/// Copies an image to one or more places.
pub fn run(args: &CopyArgs, settings: &Settings) -> Result<u8, CommandError> {
    let source: Place = args.source.parse()?;
    let mut ends = Ends::new(args, settings)?;
    let beside = settings.root.join("tmp");
    if args.touches_store() && beside.is_dir() {
        // What comes through a pipe lies beside what is made of it.
        ends.scratch = beside;
    }
    if args.all_tags {
        return mirror::run(args, &ends, &source);
    }
    let mut digest = None;
    for target in &args.targets {
        let (target, tags) = split_tags(target)?;
        let target: Place = target.parse()?;
        let copied = one(args, &ends, &source, &target, &tags)?;
        digest = Some(copied);
    }
    if let Some(digest) = digest {
        finish(args, &digest)?;
    }
    Ok(0)
}

/// Prints the digest, and writes it to where `--digestfile` says.
fn finish(args: &CopyArgs, digest: &Digest) -> Result<(), CommandError> {
    if let Some(file) = &args.digestfile {
        std::fs::write(file, digest.to_string())?;
    }
    // An archive on standard output has it for itself.
    if !args.targets.iter().any(|target| writes_to_stdout(target)) {
        output::data(&format!("{digest}\n"))?;
    }
    Ok(())
}

fn writes_to_stdout(target: &str) -> bool {
    target
        .parse::<Place>()
        .is_ok_and(|place| place.is_standard_stream())
}

/// `NAME:TAG,TAG` of a registry: the name with the first tag, and the others.
fn split_tags(target: &str) -> Result<(String, Vec<String>), CommandError> {
    let mut parts = target.split(',');
    let first = parts.next().unwrap_or_default().to_owned();
    let tags: Vec<String> = parts.map(str::to_owned).collect();
    if tags.is_empty() || matches!(first.parse(), Ok(Place::Registry(_))) {
        return Ok((first, tags));
    }
    Ok((target.to_owned(), Vec::new()))
}

/// Copies one image to one place; gives its digest there.
fn one(
    args: &CopyArgs,
    ends: &Ends,
    source: &Place,
    target: &Place,
    tags: &[String],
) -> Result<Digest, CommandError> {
    let started = std::time::Instant::now();
    let progress = Progress::new(args.progress, args.quiet, false);
    let copied = ends
        .network
        .block_on(transfer(args, ends, source, target, tags, &progress));
    progress.finish();
    let copied = copied.map_err(|error| ends::explain(error, source, target))?;
    if !args.quiet {
        let summary = summary::of(args, source, target, &copied, started.elapsed());
        progress.summary(&summary);
        ends.take_notes().iter().for_each(|note| output::talk(note));
    }
    Ok(copied.digest)
}

async fn transfer(
    args: &CopyArgs,
    ends: &Ends,
    source: &Place,
    target: &Place,
    tags: &[String],
    progress: &Progress,
) -> Result<Copied, CommandError> {
    let from = ends.source(source).await?;
    let options = options(args, ends, &from, target)?;
    let events = progress.transfers();
    let mut tags = tags.to_vec();
    tags.extend(args.tags.iter().cloned());
    if let Some(copied) = ends
        .through_store(&from, target, &tags, &options, &events)
        .await?
    {
        return Ok(copied);
    }
    let to = ends.target(target, &from, args.dry_run).await?;
    let names = to.names(&tags)?;
    let copied = kiln_registry::copy(
        &from.repository,
        &from.name,
        to.repository(),
        &names,
        &options,
        &events,
    )
    .await;
    to.finish(copied).await
}

/// What the flags ask for, with what the target can hold.
fn options(
    args: &CopyArgs,
    ends: &Ends,
    from: &Source,
    target: &Place,
) -> Result<CopyOptions, CommandError> {
    let holds_one = matches!(
        target,
        Place::DockerArchive(..) | Place::Daemon(_) | Place::Store(_)
    );
    let platforms = match &ends.platforms {
        None if holds_one => Platforms::One(Platform::host()),
        None => Platforms::All,
        Some(wished) => wished.clone(),
    };
    let compression = args
        .compress
        .map(|method| match (method, args.compress_level) {
            (CompressArg::Gzip, level) => level.map_or(Compression::GZIP, Compression::Gzip),
            (CompressArg::Zstd, level) => level.map_or(Compression::ZSTD, Compression::Zstd),
        });
    Ok(CopyOptions {
        platforms,
        companions: args.referrers,
        origin: from.origin_for(target),
        conversion: Conversion {
            to_oci: args.to_oci,
            compression,
            scratch: Some(ends.scratch.clone()),
        },
        dry_run: args.dry_run,
    })
}

impl CopyArgs {
    /// The platforms that were asked for by name, or all of them by `--all`.
    fn wished_platforms(&self) -> Result<Option<Platforms>, CommandError> {
        match chosen(&self.platform)? {
            None if self.all => Ok(Some(Platforms::All)),
            chosen => Ok(chosen),
        }
    }
}

/// Platforms as the command line names them: one is an image, several are an index of their own.
pub fn chosen(names: &[String]) -> Result<Option<Platforms>, CommandError> {
    let mut platforms = Vec::new();
    for name in names {
        platforms.push(name.parse::<Platform>()?.normalized());
    }
    Ok(match platforms.as_slice() {
        [] => None,
        [one] => Some(Platforms::One(one.clone())),
        several => Some(Platforms::Some(several.to_vec())),
    })
}

/// The name of a manifest by tag.
pub(crate) fn tag(tag: &str) -> ManifestName {
    ManifestName::Tag(tag.to_owned())
}
