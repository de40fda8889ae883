//! `kiln push`.

use std::time::Duration;

use kiln_registry::{PushOptions, Pushed};
use kiln_store::Reference;
use serde_json::json;

use crate::cli::{ProgressMode, PushArgs};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output::{self, Progress, Summary};
use crate::settings::Settings;

/// Uploads images.
pub fn run(args: &PushArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::new(settings, &args.tls)?;
    let images = args.images.iter().map(|name| Ok(name.parse()?));
    let images = images.collect::<Result<Vec<Reference>, CommandError>>()?;
    host.reach(&images, &args.side)?;
    for name in &args.images {
        let options = PushOptions {
            platforms: super::copy::chosen(&args.platform)?,
            keep_uncompressed: args.keep_uncompressed,
            ..PushOptions::default()
        };
        let digest = push(&host, name, &options, args.progress, args.quiet)?;
        output::data(&format!("{digest}\n"))?;
    }
    Ok(0)
}

/// Uploads one image to the registry of its name; gives the digest of what is there now.
fn push(
    host: &Host,
    name: &str,
    options: &PushOptions,
    progress: ProgressMode,
    quiet: bool,
) -> Result<kiln_store::Digest, CommandError> {
    let reference = name.parse::<Reference>()?.with_default_tag();
    let digest = host.store.resolve(&reference)?.ok_or_else(|| {
        CommandError::usage(format!("there is no image {reference} here"))
            .code(1)
            .hint("`kiln images` lists what there is, `kiln tag` gives an image another name")
    })?;
    push_chosen(host, &reference, &digest, options, progress, quiet)
}

/// Uploads what the digest names in the store under a name; gives the digest of what is there now. Layers that are plain tars
/// stay so where that was asked for.
pub fn push_digest(
    host: &Host,
    reference: &Reference,
    digest: &kiln_store::Digest,
    keep_uncompressed: bool,
    progress: ProgressMode,
    quiet: bool,
) -> Result<kiln_store::Digest, CommandError> {
    let options = PushOptions {
        keep_uncompressed,
        ..PushOptions::default()
    };
    push_chosen(host, reference, digest, &options, progress, quiet)
}

fn push_chosen(
    host: &Host,
    reference: &Reference,
    digest: &kiln_store::Digest,
    options: &PushOptions,
    progress: ProgressMode,
    quiet: bool,
) -> Result<kiln_store::Digest, CommandError> {
    let reference = match reference.digest() {
        Some(_) => reference.clone(),
        None => reference.clone().with_default_tag(),
    };
    let progress = Progress::new(progress, quiet, false);
    let events = progress.transfers();
    let started = std::time::Instant::now();
    let pushing = kiln_registry::push(
        host.client()?,
        &host.store,
        digest,
        &reference,
        options,
        &events,
    );
    let pushed = host.network()?.block_on(pushing);
    progress.finish();
    let pushed = pushed.map_err(|error| super::registry_failure(error, &reference))?;
    if !quiet {
        progress.summary(&summary(&reference, &pushed, started.elapsed()));
        if let Some(note) = repacked(digest, &pushed) {
            output::talk(&note);
        }
    }
    Ok(pushed.digest)
}

/// What to say of an image whose layers were uncompressed and went compressed.
fn repacked(here: &kiln_store::Digest, pushed: &Pushed) -> Option<String> {
    (pushed.repacked && pushed.digest != *here).then(|| {
        format!(
            "its layers were uncompressed and went compressed: the digest was {here} (`--keep-uncompressed` sends them as they are)"
        )
    })
}

fn summary(reference: &Reference, pushed: &Pushed, elapsed: Duration) -> Summary {
    let text = format!(
        "pushed {reference} in {}: {} requests, {} sent; blobs: {} sent, {} mounted, {} already there{}",
        format::duration(elapsed),
        pushed.traffic.requests,
        format::size(pushed.traffic.sent),
        pushed.sent,
        pushed.mounted,
        pushed.skipped,
        super::waited(&pushed.traffic),
    );
    let value = json!({
        "event": "summary",
        "work": "push",
        "reference": reference.to_string(),
        "digest": pushed.digest.to_string(),
        "seconds": elapsed.as_secs_f64(),
        "requests": pushed.traffic.requests,
        "bytesReceived": pushed.traffic.received,
        "bytesSent": pushed.traffic.sent,
        "blobsSent": pushed.sent,
        "blobsMounted": pushed.mounted,
        "blobsSkipped": pushed.skipped,
        "secondsWaited": pushed.traffic.waited.as_secs_f64(),
    });
    Summary { text, value }
}
