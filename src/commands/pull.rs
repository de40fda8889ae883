//! `kiln pull`.

use kiln_registry::PullOptions;
use kiln_store::{Image, Platform, Reference};

use crate::cli::{ProgressMode, PullArgs};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output::{self, Progress};
use crate::settings::Settings;

/// Downloads images.
pub fn run(args: &PullArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::new(settings, &args.tls)?;
    for name in &args.images {
        let reference: Reference = name.parse()?;
        pull(
            &host,
            &reference,
            args.platform.as_deref(),
            args.progress,
            args.quiet,
        )?;
        output::data(&format!("{}\n", reference.clone().with_default_tag()))?;
    }
    Ok(0)
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
        output::talk(&format!(
            "pulled {reference} {} in {}: {} requests, {} received, {} layers fetched, {} already there",
            pulled.digest,
            format::duration(started.elapsed()),
            pulled.traffic.requests,
            format::size(pulled.traffic.received),
            pulled.layers_fetched,
            pulled.layers_skipped,
        ));
    }
    Ok(pulled.image)
}
