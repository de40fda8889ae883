//! Which mounts a container gets, and where.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{KernelRoot, Operation, Overlay, Site, Source};
use crate::wire::Bytes;
use crate::{LaunchError, Mount, MountSource, Parent, Propagation, Spec};

/// Files and directories of procfs that Docker hides.
const MASKED_PROC: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
/// The same of sysfs, apart from those of each processor.
const MASKED_SYS: [&str; 2] = ["firmware", "devices/virtual/powercap"];
/// Parts of procfs that Docker makes read-only.
const READ_ONLY_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// Collects descriptors and contents that operations name by index.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    pub fds: Vec<Arc<OwnedFd>>,
    pub contents: Vec<Bytes>,
}

impl Attachments {
    /// Adds a descriptor.
    pub fn fd(&mut self, fd: Arc<OwnedFd>) -> u32 {
        self.fds.push(fd);
        (self.fds.len() - 1) as u32
    }

    /// Adds a private file.
    pub fn content(&mut self, content: &[u8]) -> u32 {
        self.contents.push(Bytes(content.to_vec()));
        (self.contents.len() - 1) as u32
    }
}

/// The C string of bytes that may not hold a zero.
pub(super) fn c_string(what: &str, bytes: impl Into<Vec<u8>>) -> Result<CString, LaunchError> {
    let bytes = bytes.into();
    CString::new(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(&error.clone().into_vec()).into_owned();
        LaunchError::Spec(format!("{what} {text:?} holds a zero byte"))
    })
}

/// The same for strings of this crate, which hold none.
pub(super) fn constant(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

/// Where a path below the store's root is in the zygote's mount namespace.
fn in_store(site: &Site, path: &Path) -> Result<CString, LaunchError> {
    let relative = path.strip_prefix(&site.store_root).or_else(|error| {
        // A monitor has only the pruned name space and names paths there.
        path.strip_prefix(Parent::STORE).map_err(|_| error)
    });
    let plain = |relative: &&Path| {
        relative
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    let Some(relative) = relative.ok().filter(plain) else {
        let root = site.store_root.display();
        return Err(LaunchError::Spec(format!(
            "{} is not below the store {root}",
            path.display()
        )));
    };
    let full = PathBuf::from(Parent::STORE).join(relative);
    c_string(
        "path",
        std::os::unix::ffi::OsStringExt::into_vec(full.into_os_string()),
    )
}

/// The root file system of a spec.
pub(super) fn overlay(site: &Site, spec: &Spec) -> Result<Operation, LaunchError> {
    if spec.lowers.is_empty() {
        return Err(LaunchError::Spec(
            "a root file system needs at least one layer".to_owned(),
        ));
    }
    let overlay = Overlay {
        lowers: spec
            .lowers
            .iter()
            .rev()
            .map(|path| in_store(site, path))
            .collect::<Result<_, _>>()?,
        upper: in_store(site, &spec.upper)?,
        work: in_store(site, &spec.work)?,
        volatile: spec.volatile,
        user_xattrs: site.user_xattrs,
    };
    Ok(Operation::Overlay { overlay })
}

/// The private files and the asked-for mounts: shallow targets first, so that none hides another.
pub(super) fn asked_for(
    site: &Site,
    spec: &Spec,
    attached: &mut Attachments,
) -> Result<Vec<Operation>, LaunchError> {
    let hostname = format!("{}\n", spec.hostname);
    let private = [
        ("/etc/hosts", spec.hosts.as_deref()),
        ("/etc/resolv.conf", spec.resolv_conf.as_deref()),
        (
            "/etc/hostname",
            spec.hostname_file.then_some(hostname.as_bytes()),
        ),
    ];
    let mut operations = Vec::new();
    for (target, content) in private {
        if spec
            .mounts
            .iter()
            .any(|mount| mount.target == target.as_bytes())
        {
            continue;
        }
        if let Some(content) = content {
            let source = Source::Content {
                index: attached.content(content),
            };
            operations.push((
                2,
                Operation::Mount {
                    target: constant(target),
                    source,
                    read_only: true,
                    no_exec: false,
                    propagation: Propagation::Private.flag(),
                },
            ));
        }
    }
    for mount in &spec.mounts {
        operations.push((depth(&mount.target), one(site, mount, attached)?));
    }
    operations.sort_by_key(|(depth, _)| *depth);
    Ok(operations
        .into_iter()
        .map(|(_, operation)| operation)
        .collect())
}

fn depth(target: &[u8]) -> usize {
    target
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
        .count()
}

fn one(site: &Site, mount: &Mount, attached: &mut Attachments) -> Result<Operation, LaunchError> {
    if !mount.target.starts_with(b"/") || depth(&mount.target) == 0 {
        let target = String::from_utf8_lossy(&mount.target);
        return Err(LaunchError::Spec(format!(
            "mount target {target:?} is not an absolute path below /"
        )));
    }
    let source = match &mount.source {
        MountSource::Detached { mount, directory } => Source::Detached {
            fd: attached.fd(Arc::clone(mount)),
            directory: *directory,
        },
        MountSource::Store(path) => Source::Path {
            path: in_store(site, path)?,
        },
        MountSource::Tmpfs { size, mode, owner } => Source::Tmpfs {
            size: size.unwrap_or(0),
            mode: *mode,
            // Where there is one id alone, it has all.
            uid: if site.single_id { 0 } else { owner.0 },
            gid: if site.single_id { 0 } else { owner.1 },
        },
        MountSource::Content(content) => Source::Content {
            index: attached.content(content),
        },
        MountSource::Device(node) => Source::Device {
            fd: attached.fd(Arc::clone(node)),
        },
    };
    Ok(Operation::Mount {
        target: c_string("mount target", mount.target.clone())?,
        source,
        read_only: mount.read_only,
        no_exec: mount.no_exec,
        propagation: mount.propagation.flag(),
    })
}

/// What Docker hides and protects of procfs and sysfs.
pub(super) fn masks(site: &Site) -> Vec<Operation> {
    let list = |paths: &[&str]| paths.iter().map(|path| constant(path)).collect::<Vec<_>>();
    let mut sys = list(&MASKED_SYS);
    for number in 0..site.throttled_processors {
        sys.push(constant(&format!(
            "devices/system/cpu/cpu{number}/thermal_throttle"
        )));
    }
    vec![
        Operation::Mask {
            root: KernelRoot::Proc,
            paths: list(&MASKED_PROC),
        },
        Operation::ReadOnlyPaths {
            root: KernelRoot::Proc,
            paths: list(&READ_ONLY_PROC),
        },
        Operation::Mask {
            root: KernelRoot::Sys,
            paths: sys,
        },
    ]
}
