//! A minimal Debian made from its packages: the base of what is built from real packages.

mod apt;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use apt::Apt;
pub use apt::SUITE;

/// The archive over a slow line.
const LIMIT: Duration = Duration::from_secs(900);

/// The certificates that this machine trusts; a mirror of its own may be signed by its own authority.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A tar with Debian's root file system.
#[derive(Debug)]
pub struct Tarball {
    /// The file.
    pub path: PathBuf,
    /// Whether it was there already.
    pub was_there: bool,
}

/// A tar of a minimal Debian below `cache`, made at most once a day for one configuration of apt.
pub fn tarball(cache: &Path) -> Result<Tarball> {
    let apt = Apt::load()?;
    let mut hasher = DefaultHasher::new();
    let recipe = process::describe(&mmdebstrap(&apt, Path::new("base.tar")));
    (jiff::Zoned::now().date().to_string(), recipe).hash(&mut hasher);
    std::fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let path = cache.join(format!("base-{:016x}.tar", hasher.finish()));
    let was_there = path.exists();
    if !was_there {
        remove_old(cache)?;
        let new = path.with_extension("new");
        process::run(&mut mmdebstrap(&apt, &new), LIMIT)?;
        std::fs::rename(&new, &path).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(Tarball { path, was_there })
}

fn mmdebstrap(apt: &Apt, output: &Path) -> Command {
    let mut command = Command::new("mmdebstrap");
    // An image has no device nodes: containers bring their own.
    command.args([
        "--variant=minbase",
        "--format=tar",
        "--quiet",
        "--skip=output/dev",
    ]);
    for setting in &apt.settings {
        command.arg(format!("--aptopt={setting}"));
    }
    if apt.uses_tls() {
        command.arg("--include=ca-certificates");
        command.arg(format!(
            "--customize-hook=upload {CERTIFICATES} {CERTIFICATES}"
        ));
    }
    command.arg(SUITE).arg(output).args(&apt.sources);
    command
}

fn remove_old(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("base-") {
            std::fs::remove_file(entry.path())
                .with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}
