//! `kiln prune`, `image prune`, `builder prune`, `system prune`.

use kiln_runtime::container::{Containers, Moment, MountOrigin, parse_size};
use kiln_store::{PruneImages, PruneOptions, PruneRecords, PruneReport};

use crate::cli::{PruneArgs, PruneScope};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Removes what nothing uses.
pub fn run(args: &PruneArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let mut options = options(args)?;
    let containers = Containers::open(host.store.clone())?;
    if args.scope == PruneScope::System {
        stopped_containers(args, &options, &containers)?;
    }
    if args.volumes {
        anonymous_volumes(args, &containers)?;
    }
    containers.release_left_pins()?;
    if let Some(wanted) = &args.min_free_space {
        options.keep_bytes = Some(until_free(&host, size(wanted, "--min-free-space")?)?);
    }
    let report = host.store.prune(&options)?;
    print(&report, args.dry_run)?;
    Ok(0)
}

fn options(args: &PruneArgs) -> Result<PruneOptions, CommandError> {
    let records = match (args.scope, args.all) {
        (PruneScope::Store, false) | (PruneScope::Images, _) => PruneRecords::None,
        (PruneScope::System | PruneScope::Cache, false) => PruneRecords::Unshared,
        (_, true) => PruneRecords::All,
    };
    let images = match (args.scope, args.all) {
        (PruneScope::Cache, _) => PruneImages::None,
        (_, false) => PruneImages::Dangling,
        (_, true) => PruneImages::All,
    };
    let mut options = PruneOptions {
        images,
        records,
        sources: records != PruneRecords::None,
        only_cache: args.scope == PruneScope::Cache,
        dry_run: args.dry_run,
        ..PruneOptions::default()
    };
    for filter in &args.filter {
        add_filter(&mut options, args.scope, filter)?;
    }
    if let Some(text) = &args.max_used_space {
        options.keep_bytes = Some(size(text, "--max-used-space")?);
    }
    Ok(options)
}

/// Takes one `--filter` in.
fn add_filter(
    options: &mut PruneOptions,
    scope: PruneScope,
    filter: &str,
) -> Result<(), CommandError> {
    let (key, value) = filter.split_once('=').ok_or_else(|| {
        CommandError::usage(format!(
            "bad format of filter `{filter}`: KEY=VALUE is expected"
        ))
    })?;
    let on_labels = scope != PruneScope::Cache;
    match key {
        "until" | "unused-for" => {
            let Moment(nanoseconds) = super::containers::moment(value)?;
            options.before = Some(nanoseconds / 1_000_000_000);
        }
        "label" | "label!" if on_labels => {
            options
                .labels
                .push(super::images::label(value, key.ends_with('!')));
        }
        // Docker's way to say `--all` for images.
        "dangling" if on_labels => {
            options.images = match super::boolean(value) {
                Some(true) => PruneImages::Dangling,
                Some(false) => PruneImages::All,
                None => {
                    return Err(CommandError::usage(format!(
                        "bad value of filter `{filter}`: true or false is expected"
                    )));
                }
            };
        }
        other => {
            let known = if on_labels {
                "`until`, `label`, `label!` and `dangling` exist"
            } else {
                "`until` exists"
            };
            return Err(CommandError::usage(format!("invalid filter `{other}`")).hint(known));
        }
    }
    Ok(())
}

fn size(text: &str, flag: &str) -> Result<u64, CommandError> {
    parse_size(text).map_err(|_| {
        CommandError::usage(format!("{flag} `{text}` is no size"))
            .hint("a number of bytes, or with k, m, g, t: `20g`")
    })
}

/// How many bytes of content may stay for `wanted` bytes to be free on the disk of the store.
fn until_free(host: &Host, wanted: u64) -> Result<u64, CommandError> {
    let disk = rustix::fs::statvfs(host.store.root())?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let usage = host.store.disk_usage()?;
    let content = usage.images.bytes + usage.cache.bytes;
    Ok(content.saturating_sub(wanted.saturating_sub(free)))
}

/// Removes containers that do not run, as far as the filters choose them.
fn stopped_containers(
    args: &PruneArgs,
    options: &PruneOptions,
    containers: &Containers,
) -> Result<(), CommandError> {
    for container in containers.list()? {
        let config = container.config();
        let is_old = options
            .before
            .is_none_or(|before| config.created.0 / 1_000_000_000 < before);
        let labels = config.labels.iter();
        let labels = labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let is_chosen = options.labels.iter().all(|filter| filter.accepts(&labels));
        if !is_old || !is_chosen || container.is_running()? {
            continue;
        }
        if !args.dry_run {
            container.remove(false, false)?;
        }
        output::data(&format!("Deleted container: {}\n", container.id()))?;
    }
    Ok(())
}

/// Removes anonymous volumes that no container uses.
fn anonymous_volumes(args: &PruneArgs, containers: &Containers) -> Result<(), CommandError> {
    let all = containers.list()?;
    let volumes = containers.volumes()?;
    for volume in volumes.list()?.into_iter().filter(|it| it.anonymous) {
        let uses = |origin: &MountOrigin| matches!(origin, MountOrigin::Volume { name, .. } if *name == volume.name);
        let is_used = all
            .iter()
            .flat_map(|container| &container.config().mounts)
            .any(|mount| uses(&mount.source));
        if is_used {
            continue;
        }
        if !args.dry_run {
            let configs: Vec<_> = all.iter().map(|it| it.config().clone()).collect();
            volumes.remove(&volume.name, &configs)?;
        }
        output::data(&format!("Deleted volume: {}\n", volume.name))?;
    }
    Ok(())
}

/// Docker's words, and kiln's counts for people.
fn print(report: &PruneReport, dry_run: bool) -> Result<(), CommandError> {
    let mut text = String::new();
    for tag in &report.tags {
        text.push_str(&format!("Untagged: {}\n", tag.familiar()));
    }
    for image in &report.images {
        text.push_str(&format!("Deleted: {image}\n"));
    }
    let word = if dry_run { "reclaimable" } else { "reclaimed" };
    text.push_str(&format!(
        "Total {word} space: {}\n",
        format::size(report.bytes),
    ));
    output::data(&text)?;
    output::talk(&format!(
        "notice: {} images, {} cache records, {} layers, {} blobs, {} sources",
        report.images.len(),
        report.records,
        report.directories,
        report.blobs,
        report.sources,
    ));
    Ok(())
}
