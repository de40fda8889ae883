//! COPY of a tree of many files: cold, cached, and with one file changed.

use std::path::Path;

use anyhow::{Context, Result};
use xtask::random::Random;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, delete_store, kiln};
use super::super::invocation::Invocation;
use super::super::peers::{Buildah, Docker};
use super::{Row, minutes};

/// Files, and the bytes of all of them.
const FILES: usize = 20_000;
const BYTES: usize = 183_000_000;

/// Files of one directory.
const PER_DIRECTORY: usize = 50;

/// Cold, against the best peer's.
const SHARE: f64 = 1.0 / 5.0;

/// Cached, and with one file changed, in milliseconds.
const CACHED: f64 = 60.0;
const CHANGED: f64 = 200.0;

/// The row.
pub const ROW: Row = Row {
    name: "files",
    about: "COPY of 20,000 files, 183 MB: cold, cached, one file changed",
    budget: minutes(15),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let effort = ground.effort();
    let context = ground.context("files", &format!("FROM {}\nCOPY . /files\n", base.image))?;
    let count = effort.size(FILES);
    write_tree(&context, count, effort.size(BYTES))?;
    let directory = context.to_string_lossy();
    let what = format!(
        "COPY of {count} files, {} MB",
        effort.size(BYTES) / 1_000_000
    );
    let mut cold = Contest::new(format!("{what}, cold"), Target::OfPeer(SHARE));
    let mut cached = Contest::new(format!("{what}, cached"), Target::AtMost(CACHED));
    let mut changed = Contest::new(format!("{what}, one file changed"), Target::AtMost(CHANGED));
    let file = context.join("0/0").to_string_lossy().into_owned();
    let change = || {
        let script = "date +%s.%N > \"$1\"";
        vec![Invocation::shell(ground.identity(), script, &[&file])]
    };
    let store = ground.kiln();
    let build = kiln(store, &["build", "--tag", "files", &directory]);
    cold.add("kiln", Role::Kiln, vec![delete_store(store)], build.clone());
    cached.add("kiln", Role::Kiln, Vec::new(), build.clone());
    changed.add("kiln", Role::Kiln, change(), build);
    match Buildah::new(ground) {
        Ok(buildah) => {
            let build = buildah.build("files", &[], &context)?;
            cold.add(
                "buildah",
                Role::Peer,
                vec![buildah.delete_all()?],
                build.clone(),
            );
            cached.add("buildah", Role::Peer, Vec::new(), build.clone());
            changed.add("buildah", Role::Peer, change(), build);
        }
        Err(error) => cold.note(format!("buildah: {}", last_line(&error))),
    }
    let docker = Docker::start(ground).and_then(|docker| docker.load(&base).map(|()| docker));
    match &docker {
        Ok(docker) => {
            let build = docker.build("files", &context);
            cold.add("docker", Role::Peer, docker.delete("files"), build.clone());
            cached.add("docker", Role::Peer, Vec::new(), build.clone());
            changed.add("docker", Role::Peer, change(), build);
        }
        Err(error) => cold.note(format!("docker: {}", last_line(error))),
    }
    Ok(vec![
        cold.play(ground, effort.rounds)?,
        cached.play(ground, 2 * effort.rounds)?,
        changed.play(ground, effort.rounds)?,
    ])
}

/// Files of very different sizes, as source trees have them, with `bytes` together.
fn write_tree(root: &Path, count: usize, bytes: usize) -> Result<()> {
    let mut random = Random::new(2);
    // Squared, so that a few are large and most are small; a third of the square is its mean.
    let scale = 3.0 * bytes as f64 / count as f64;
    let mut content = vec![0u8; scale as usize + 1];
    for (index, byte) in content.iter_mut().enumerate() {
        *byte = b'a' + ((random.number() ^ index as u64) % 26) as u8;
    }
    for number in 0..count {
        let directory = root.join((number / PER_DIRECTORY).to_string());
        if number % PER_DIRECTORY == 0 {
            std::fs::create_dir(&directory)
                .with_context(|| format!("create {}", directory.display()))?;
        }
        let fraction = random.fraction();
        let size = (scale * fraction * fraction) as usize;
        let begin = content.len() - size.min(content.len());
        let file = directory.join((number % PER_DIRECTORY).to_string());
        std::fs::write(&file, &content[begin..])
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}
