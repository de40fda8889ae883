//! `cargo xtask demo`: a real workload taken all the way, with kiln alone after its base image is in
//! a registry.

mod base;
mod journey;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use xtask::docker_registry::DockerRegistry;
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::scratch::Scratch;

use crate::commands::dist;
use crate::needs::{self, For};
use crate::workspace;
use report::Report;

/// What the base image, the store and the registry need together, with reserve.
const ROOM: u64 = 3 << 30;

/// Options of the demo.
#[derive(Debug, Args)]
pub struct Options {
    /// Install what the machine lacks first
    #[arg(long)]
    setup: bool,
    /// Run kiln and the registry as this user, who has subordinate ids
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Use this binary instead of making the release
    #[arg(long, value_name = "FILE")]
    kiln: Option<PathBuf>,
}

/// Runs the demo.
pub fn run(options: &Options) -> Result<()> {
    needs::see_to(For::Demo, options.user.as_deref(), options.setup)?;
    let identity = match &options.user {
        Some(name) => Identity::named(name)?,
        None => Identity::current()?,
    };
    let binary = match &options.kiln {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("find {}", path.display()))?,
        None => dist::run()?,
    };
    let scratch = Scratch::new("kiln-demo", &identity, ROOM, &workspace::cache())?;
    let kiln = Kiln::install(&binary, &scratch, &identity)?;
    let mut report = Report::new(&identity);
    let done = all(&scratch, &identity, &kiln, &mut report);
    report.print();
    // Containers outlive the commands that start them, so they are ended first, in any case.
    let removed = kiln.clear();
    done?;
    removed?;
    println!("demo as {}: passed", identity.name);
    Ok(())
}

fn all(scratch: &Scratch, identity: &Identity, kiln: &Kiln, report: &mut Report) -> Result<()> {
    let tarball = base::tarball(report)?;
    let directory = scratch.directory("registry")?;
    let registry = DockerRegistry::start(identity, &directory, None)?;
    base::publish(&tarball, scratch, identity, kiln, &registry, report)?;
    journey::travel(scratch, identity, kiln, &registry, report)
}
