//! The base image: Debian from its packages, in the registry.

use std::path::Path;

use anyhow::{Context, Result};
use xtask::debian::{self, SUITE};
use xtask::docker_registry::DockerRegistry;
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::scratch::Scratch;

use super::report::Report;
use crate::workspace;

/// A tar of a minimal Debian.
pub fn tarball(report: &mut Report) -> Result<std::path::PathBuf> {
    let what = "Debian from packages";
    let started = std::time::Instant::now();
    let tarball = debian::tarball(&workspace::cache())?;
    if tarball.was_there {
        report.note(what, "made earlier today");
    } else {
        report.part(
            what,
            started.elapsed(),
            std::fs::metadata(&tarball.path)?.len(),
            "",
        );
    }
    Ok(tarball.path)
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
