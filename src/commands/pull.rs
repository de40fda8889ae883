//! `kiln pull`.

use std::time::Duration;

use kiln_registry::{PullOptions, Pulled};
use kiln_store::{Image, Platform, Reference};
use serde_json::json;

use crate::cli::{ProgressMode, PullArgs};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output::{self, Progress, Summary};
use crate::settings::Settings;

/// Downloads images.
pub fn run(args: &PullArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::new(settings, &args.tls)?;
    let images = args.images.iter().map(|name| Ok(name.parse()?));
    let images = images.collect::<Result<Vec<Reference>, CommandError>>()?;
    host.reach(&images, &args.side)?;
    for (written, reference) in args.images.iter().zip(&images) {
        let reference = &by_alias(&host, written)?.unwrap_or_else(|| reference.clone());
        pull(
            &host,
            reference,
            args.platform.as_deref(),
            args.progress,
            args.quiet,
        )?;
        output::data(&format!("{}\n", reference.clone().with_default_tag()))?;
    }
    Ok(0)
}

/// What a short name stands for by the aliases of registries.conf, which podman and skopeo follow too. Names in Dockerfiles mean docker.io always.
fn by_alias(host: &Host, name: &str) -> Result<Option<Reference>, CommandError> {
    let end = name.find([':', '@']).unwrap_or(name.len());
    let (short, rest) = name.split_at(end);
    let Some((target, file)) = host.client()?.alias(short) else {
        return Ok(None);
    };
    output::talk(&format!("{short} is {target} by an alias in {file}"));
    Ok(Some(format!("{target}{rest}").parse()?))
}

/// Downloads one image into the store and gives it its name.
pub fn pull(
    host: &Host,
    reference: &Reference,
    platform: Option<&str>,
    progress: ProgressMode,
    quiet: bool,
) -> Result<Image, CommandError> {
    let platform = match platform {
        Some(platform) => platform.parse()?,
        None => Platform::host(),
    };
    let progress = Progress::new(progress, quiet, false);
    let events = progress.transfers();
    let started = std::time::Instant::now();
    let options = PullOptions::default();
    let pulling = kiln_registry::pull(
        host.client()?,
        &host.store,
        reference,
        &platform,
        &options,
        &events,
    );
    let pulled = host.network()?.block_on(pulling);
    progress.finish();
    let pulled = pulled.map_err(|error| super::registry_failure(error, reference))?;
    host.settle_later()?;
    if !quiet {
        progress.summary(&summary(reference, &pulled, started.elapsed()));
    }
    Ok(pulled.image)
}

fn summary(reference: &Reference, pulled: &Pulled, elapsed: Duration) -> Summary {
    let text = format!(
        "pulled {reference} {} in {}: {} requests, {} received, {} layers fetched, {} already there{}",
        pulled.digest,
        format::duration(elapsed),
        pulled.traffic.requests,
        format::size(pulled.traffic.received),
        pulled.layers_fetched,
        pulled.layers_skipped,
        super::waited(&pulled.traffic),
    );
    let value = json!({
        "event": "summary",
        "work": "pull",
        "reference": reference.to_string(),
        "digest": pulled.digest.to_string(),
        "seconds": elapsed.as_secs_f64(),
        "requests": pulled.traffic.requests,
        "bytesReceived": pulled.traffic.received,
        "bytesSent": pulled.traffic.sent,
        "layersFetched": pulled.layers_fetched,
        "layersSkipped": pulled.layers_skipped,
        "secondsWaited": pulled.traffic.waited.as_secs_f64(),
    });
    Summary { text, value }
}
