//! The base image: Debian from its packages, in the registry.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::docker_registry::DockerRegistry;
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::process;
use xtask::scratch::Scratch;

use super::apt::{Apt, SUITE};
use super::report::Report;
use crate::workspace;

/// The archive over a slow line.
const LIMIT: Duration = Duration::from_secs(900);

/// The certificates that this machine trusts; a mirror of its own may be signed by its own authority.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A tar of a minimal Debian, made at most once a day for one configuration of apt.
pub fn tarball(report: &mut Report) -> Result<PathBuf> {
    let apt = Apt::load()?;
    let mut hasher = DefaultHasher::new();
    let recipe = process::describe(&mmdebstrap(&apt, Path::new("base.tar")));
    (jiff::Zoned::now().date().to_string(), recipe).hash(&mut hasher);
    let directory = workspace::cache();
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("create {}", directory.display()))?;
    let path = directory.join(format!("base-{:016x}.tar", hasher.finish()));
    if path.exists() {
        report.note("Debian from packages", "made earlier today");
        return Ok(path);
    }
    remove_old(&directory)?;
    let new = path.with_extension("new");
    report.time("Debian from packages", || {
        process::run(&mut mmdebstrap(&apt, &new), LIMIT)
    })?;
    std::fs::rename(&new, &path).with_context(|| format!("write {}", path.display()))?;
    report.bytes(std::fs::metadata(&path)?.len());
    Ok(path)
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

/// The base image's name in `registry`.
pub fn name(registry: &DockerRegistry) -> String {
    format!("{}/debian:{SUITE}", registry.host())
}

/// Makes an image of the tar and pushes it.
pub fn publish(
    tarball: &Path,
    scratch: &Scratch,
    identity: &Identity,
    kiln: &Kiln,
    registry: &DockerRegistry,
    report: &mut Report,
) -> Result<()> {
    let context = scratch.directory("base")?;
    std::fs::copy(tarball, context.join("rootfs.tar")).context("copy the base tar")?;
    let dockerfile = context.join("Dockerfile");
    std::fs::write(
        &dockerfile,
        "FROM scratch\nADD rootfs.tar /\nCMD [\"/bin/bash\"]\n",
    )?;
    identity.take(&dockerfile)?;
    let (image, context) = (name(registry), context.to_string_lossy());
    report.time("build the base image", || {
        kiln.run(&["build", "--tag", &image, &context])
    })?;
    report.time("push the base image", || kiln.run(&["push", &image]))?;
    report.bytes(registry.stored_bytes());
    Ok(())
}
