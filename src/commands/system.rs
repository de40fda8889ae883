//! `kiln version`, `info`, `df`, and what puts the store on disk.

use kiln_runtime::container::{Containers, Status};
use kiln_store::{DiskUsage, Share};
use serde_json::{Value, json};

use super::images;
use crate::cli::{DfArgs, FormatArgs};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::settings::Settings;

/// Shows versions, in the places where docker has them too: there is no server, so it has the client's.
pub fn version(args: &FormatArgs) -> Result<u8, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, go_architecture());
    let kernel = kernel();
    let half = json!({
        "Version": version,
        "Os": os,
        "Arch": arch,
        "KernelVersion": kernel,
    });
    let value = json!({
        "Version": version,
        "Os": os,
        "Arch": arch,
        "Client": half.clone(),
        "Server": half,
    });
    let text = format!("kiln {version}\n OS/Arch: {os}/{arch}\n Kernel:  {kernel}\n");
    super::print_value(args.format.as_deref(), &value, &text)
}

/// Shows where things are and what the store holds.
pub fn info(args: &FormatArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let images = host.store.images()?.len();
    let (mut running, mut all) = (0, 0);
    for container in Containers::open(host.store.clone())?.list()? {
        all += 1;
        running += usize::from(container.state()?.status == Status::Running);
    }
    let kernel = kernel();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = rustix::system::sysinfo();
    let memory = memory.totalram * u64::from(memory.mem_unit);
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let mut security = vec!["name=seccomp,profile=builtin"];
    if !settings.is_root {
        security.push("name=rootless");
    }
    let value = json!({
        "Root": settings.root,
        "DockerRootDir": settings.root,
        "Name": name,
        "Images": images,
        "Containers": all,
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": all - running,
        "Driver": "overlay2",
        "KernelVersion": kernel,
        "OperatingSystem": operating_system(),
        "OSType": std::env::consts::OS,
        "Architecture": std::env::consts::ARCH,
        "NCPU": processors,
        "MemTotal": memory,
        "Rootless": !settings.is_root,
        "SecurityOptions": security,
        "CgroupVersion": if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "2" } else { "1" },
        "HttpProxy": settings.proxies.http,
        "HttpsProxy": settings.proxies.https,
        "NoProxy": settings.proxies.exempt,
        "Version": env!("CARGO_PKG_VERSION"),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
    });
    let text = format!(
        "store:      {}\nimages:     {images}\ncontainers: {all} ({running} running)\nkernel:     {kernel}\nprocessors: {processors}\nmemory:     {}\nrootless:   {}\n",
        settings.root.display(),
        format::size(memory),
        if settings.is_root { "no" } else { "yes" },
    );
    super::print_value(args.format.as_deref(), &value, &text)
}

fn kernel() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// The processor as Go and so all of docker names it.
fn go_architecture() -> String {
    kiln_store::Platform::host().architecture
}

/// What the machine calls its distribution (`os-release(5)`).
fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

/// Shows what the store holds and what of it could go.
pub fn df(args: &DfArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let usage = host.store.disk_usage()?;
    let style = args.format.format.as_deref();
    if args.verbose {
        return images::usage(&host, &usage, style);
    }
    let mut rows = rows(&host, &usage)?;
    rows.push(json!({
        "Type": "Total",
        "TotalCount": "",
        "Active": "",
        "Size": format::size(usage.total),
        "SizeBytes": usage.total,
        "Reclaimable": "",
    }));
    let columns = [
        ("TYPE", "Type"),
        ("TOTAL", "TotalCount"),
        ("ACTIVE", "Active"),
        ("SIZE", "Size"),
        ("RECLAIMABLE", "Reclaimable"),
    ];
    super::print_rows(style, &columns, &rows)
}

/// Docker's four rows first, under docker's names, then what else there is.
fn rows(host: &Host, usage: &DiskUsage) -> Result<Vec<Value>, CommandError> {
    let containers = Containers::open(host.store.clone())?.list()?;
    let mut running = 0;
    for container in &containers {
        running += usize::from(container.is_running()?);
    }
    let mut used: Vec<_> = containers
        .iter()
        .map(|container| container.config().image.id)
        .collect();
    used.sort();
    used.dedup();
    let other = |name: &str| usage.others.get(name).copied().unwrap_or_default();
    let mut rows = vec![
        row("Images", usage.images, Some(used.len())),
        row("Containers", other("containers"), Some(running)),
        row("Local Volumes", other("volumes"), None),
        row("Build Cache", usage.cache, Some(0)),
        row("Unused", usage.loose, None),
    ];
    let shown = ["containers", "volumes"];
    for (name, share) in &usage.others {
        if !shown.contains(&name.as_str()) {
            rows.push(row(name, *share, None));
        }
    }
    Ok(rows)
}

fn row(name: &str, share: Share, active: Option<usize>) -> Value {
    let percent = (share.reclaimable * 100)
        .checked_div(share.bytes)
        .filter(|percent| *percent > 0);
    let reclaimable = match percent {
        Some(percent) => format!("{} ({percent}%)", format::size(share.reclaimable)),
        None => format::size(share.reclaimable),
    };
    json!({
        "Type": name,
        "TotalCount": share.count.to_string(),
        "Active": active.map(|count| count.to_string()).unwrap_or_default(),
        "Size": format::size(share.bytes),
        "SizeBytes": share.bytes,
        "Reclaimable": reclaimable,
    })
}

/// Puts what the store holds on disk. A store that was removed meanwhile is not made again.
pub fn settle(settings: &Settings) -> Result<u8, CommandError> {
    if settings.root.join("format").exists() {
        Host::local(settings)?.store.sync()?;
    }
    Ok(0)
}
