//! `cargo xtask bench`: kiln beside its peers, in one run on one machine.
//!
//! Rounds are interleaved, so that a slow minute hits all alike; medians are compared, as ratios.
//! Stores are on a tmpfs. Peak memory comes from one more run of each, under `time`.

mod contest;
mod language;
mod launch;
mod machine;
mod peers;
mod registries;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use xtask::docker_registry::DockerRegistry;
use xtask::identity::{Identity, TEST_USER};
use xtask::kiln::Kiln;
use xtask::scratch::Scratch;

use crate::commands::dist;
use crate::needs::{self, For};
use crate::workspace;
use contest::{Contest, Work};
pub use launch::{TimeOptions, time};
use peers::Ground;
use registries::Registries;

/// What all the stores take together, with reserve.
const ROOM: u64 = 4 << 30;

/// Where the results go.
const PAGE: &str = "docs/performance.md";

/// Options of the bench.
#[derive(Debug, Args)]
pub struct Options {
    /// Install what the machine lacks first
    #[arg(long)]
    setup: bool,
    /// Rounds of each build; runs of a container take ten times as many
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Use this binary instead of making the release
    #[arg(long, value_name = "FILE")]
    kiln: Option<PathBuf>,
    /// Print the table and leave docs/performance.md alone
    #[arg(long)]
    dry_run: bool,
    /// Only print how long a step takes to launch
    #[arg(long)]
    launch: bool,
    /// Only work whose title holds this word
    #[arg(long, value_name = "WORD", requires = "dry_run")]
    only: Option<String>,
}

impl Options {
    fn wants(&self, work: Work) -> bool {
        self.only
            .as_ref()
            .is_none_or(|word| work.title().contains(word))
    }
}

/// Runs the bench.
pub fn run(options: &Options) -> Result<()> {
    needs::see_to(For::Bench, None, options.setup)?;
    let binary = match &options.kiln {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("find {}", path.display()))?,
        None => dist::run()?,
    };
    let identity = Identity::current()?;
    let scratch = Scratch::new("kiln-bench", &identity, ROOM, &workspace::cache())?;
    let registry = DockerRegistry::start(&identity, &scratch.directory("registry")?, None)?;
    let kiln = Kiln::install(&binary, &scratch, &identity)?;
    let ground = Ground::prepare(&scratch, &kiln, &registry)?;
    if options.launch {
        let namespace = peers::CgroupNamespace::enter(&scratch)?;
        println!("{}", launch::measure(&ground, &kiln, &scratch, &namespace)?);
        return Ok(());
    }
    let mut contest = Contest::new(&scratch)?;
    peers::kiln(&mut contest, &ground, &kiln, "kiln");
    let user = if identity.is_root() {
        Identity::named(TEST_USER).ok()
    } else {
        None
    };
    if let Some(user) = user {
        let store = scratch.directory("user")?;
        user.take(&store)?;
        let rootless = Kiln::at(kiln.program().to_owned(), store.join("store"), &user);
        peers::kiln(&mut contest, &ground, &rootless, "kiln, ordinary user");
    }
    language::add(&mut contest, &scratch, &kiln)?;
    let mut missing = peers::add_installed(&mut contest, &ground, &scratch)?;
    let (_registries, lacking) = Registries::add(&mut contest, &scratch, &kiln, &identity)?;
    missing.extend(lacking);
    for work in Work::ALL.into_iter().filter(|work| options.wants(*work)) {
        contest.play(work, options.rounds)?;
    }
    let mut page = table::page(&contest, &missing, std::fs::metadata(&binary)?.len());
    if let Some(namespace) = contest.namespace().filter(|_| options.only.is_none()) {
        page.push_str(&launch::measure(&ground, &kiln, &scratch, namespace)?);
    }
    println!("{page}");
    if !options.dry_run {
        let path = workspace::root().join(PAGE);
        std::fs::write(&path, &page).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
