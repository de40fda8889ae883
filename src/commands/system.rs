//! `kiln version`, `info`, `doctor`, `df`, `prune`.

use kiln_runtime::container::Containers;
use kiln_store::{PruneImages, PruneOptions};
use serde_json::{Value, json};

use crate::cli::{FormatArgs, PruneArgs};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Shows versions.
pub fn version(args: &FormatArgs) -> Result<u8, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    let value =
        json!({"Version": version, "Os": std::env::consts::OS, "Arch": std::env::consts::ARCH});
    super::print_value(args.format.as_deref(), &value, &format!("kiln {version}\n"))
}

/// Shows where things are and what the store holds.
pub fn info(args: &FormatArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let images = host.store.images()?.len();
    let uname = rustix::system::uname();
    let kernel = uname.release().to_string_lossy().into_owned();
    let value = json!({
        "Root": settings.root,
        "Images": images,
        "KernelVersion": kernel,
        "Rootless": !settings.is_root,
        "Version": env!("CARGO_PKG_VERSION"),
    });
    let text = format!(
        "store:    {}\nimages:   {images}\nkernel:   {kernel}\nrootless: {}\n",
        settings.root.display(),
        if settings.is_root { "no" } else { "yes" },
    );
    super::print_value(args.format.as_deref(), &value, &text)
}

/// Shows what the store holds and what of it could go.
pub fn df(args: &FormatArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let usage = host.store.disk_usage()?;
    let shares = [
        ("Images", usage.images),
        ("Build Cache", usage.cache),
        ("Unused", usage.loose),
    ];
    let others = usage
        .others
        .iter()
        .map(|(name, share)| (name.as_str(), *share));
    let mut rows: Vec<Value> = shares
        .into_iter()
        .chain(others)
        .map(|(name, share)| {
            json!({
                "Type": name,
                "TotalCount": share.count.to_string(),
                "Size": format::size(share.bytes),
                "SizeBytes": share.bytes,
                "Reclaimable": format::size(share.reclaimable),
            })
        })
        .collect();
    rows.push(json!({
        "Type": "Total",
        "TotalCount": "",
        "Size": format::size(usage.total),
        "SizeBytes": usage.total,
        "Reclaimable": "",
    }));
    let columns = [
        ("TYPE", "Type"),
        ("TOTAL", "TotalCount"),
        ("SIZE", "Size"),
        ("RECLAIMABLE", "Reclaimable"),
    ];
    super::print_rows(args.format.as_deref(), &columns, &rows)
}

/// Removes what nothing uses: with `--all` also images with names and the build cache.
pub fn prune(args: &PruneArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    Containers::open(host.store.clone())?.release_left_pins()?;
    let options = PruneOptions {
        images: if args.all {
            PruneImages::All
        } else {
            PruneImages::Dangling
        },
        records: args.all,
        dry_run: args.dry_run,
        ..PruneOptions::default()
    };
    let report = host.store.prune(&options)?;
    for tag in &report.tags {
        output::data(&format!("Untagged: {tag}\n"))?;
    }
    for image in &report.images {
        output::data(&format!("Deleted: {image}\n"))?;
    }
    let word = if args.dry_run { "would free" } else { "freed" };
    output::data(&format!(
        "{word} {}: {} images, {} cache records, {} layers, {} blobs\n",
        format::size(report.bytes),
        report.images.len(),
        report.records,
        report.directories,
        report.blobs,
    ))?;
    Ok(0)
}

/// Puts what the store holds on disk. A store that was removed meanwhile is not made again.
pub fn settle(settings: &Settings) -> Result<u8, CommandError> {
    if settings.root.join("format").exists() {
        Host::local(settings)?.store.sync()?;
    }
    Ok(0)
}
