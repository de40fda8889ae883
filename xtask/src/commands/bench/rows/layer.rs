//! One step that writes a large layer, which then goes into a registry.

use std::path::Path;

use anyhow::{Context, Result};
use xtask::random::Random;

use super::super::contest::{Contest, last_line};
use super::super::figures::{Figure, Line, Role, Target, Unit};
use super::super::ground::{Ground, delete_store, kiln};
use super::super::invocation::Invocation;
use super::super::peers::Buildah;
use super::{Row, minutes};

/// Mebibytes of the data that the step writes again and again, further apart than any window of gzip.
const POOL_MIB: usize = 64;

/// How often: a gibibyte in all.
const COPIES: usize = 16;

/// Build and push against buildah's.
const SHARE: f64 = 1.0 / 3.0;

/// Within five per cent of what `gzip -6` makes of the same.
const SIZE: f64 = 1.05;

/// The row.
pub const ROW: Row = Row {
    name: "layer",
    about: "a layer of 1 GiB: build and push, gzip; its size",
    budget: minutes(20),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let base = ground.base()?;
    let copies = ground.effort().size(COPIES);
    let pool = mixed(POOL_MIB << 20);
    let image = with_pool(ground, &base.image, &pool)?;
    let step = format!("for n in $(seq {copies}); do cat /pool > /data.$n; done");
    let context = ground.context("layer", &format!("FROM {image}\nRUN {step}\n"))?;
    let target = ground.another_registry("target")?;
    let (store, directory) = (ground.kiln(), context.to_string_lossy());
    let pushed = format!("{}/kiln:1", target.host());
    let mut contest = Contest::new(
        format!("a layer of {} MiB: build and push, gzip", copies * POOL_MIB),
        Target::OfPeer(SHARE),
    );
    let data = ground.scratch().path().join("target/data");
    let empty = Invocation::new(ground.identity(), ["rm", "-rf", &*data.to_string_lossy()]);
    let before = vec![
        delete_store(store),
        empty.clone(),
        kiln(store, &["pull", &image]),
    ];
    let build = kiln(store, &["build", "--push", "--tag", &pushed, &directory]);
    contest.add("kiln", Role::Kiln, before, build);
    let zstd = format!("type=image,name={pushed},push=true,compression=zstd");
    let before = vec![
        delete_store(store),
        empty.clone(),
        kiln(store, &["pull", &image]),
    ];
    let build = kiln(store, &["build", "--output", &zstd, &directory]);
    contest.add("kiln, zstd", Role::Beside, before, build);
    match Buildah::new(ground) {
        Ok(buildah) => {
            let name = format!("{}/buildah:1", target.host());
            let build = buildah.build(&name, &[], &context)?;
            let push = buildah.command(&["push", "--tls-verify=false", &name])?;
            let pull = buildah.command(&["pull", "--tls-verify=false", &image])?;
            let mut both = build.clone();
            // One command line, so that its time is one.
            both.words = [
                "sh",
                "-ec",
                "n=$1; shift; \"${@:1:$n}\"; shift $n; \"$@\"",
                "sh",
            ]
            .map(ToOwned::to_owned)
            .into();
            both.words[0] = "bash".to_owned();
            both.words.push(build.words.len().to_string());
            both.words.extend(build.words);
            both.words.extend(push.words);
            let before = vec![buildah.delete_all()?, empty, pull];
            contest.add("buildah", Role::Peer, before, both);
        }
        Err(error) => contest.note(format!("buildah: {}", last_line(&error))),
    }
    let time = contest.play(ground, ground.effort().rounds.min(3))?;
    Ok(vec![time, size(ground, &pool, copies)?])
}

/// The base with the data in a layer of its own, in the registry.
fn with_pool(ground: &Ground, base: &str, pool: &[u8]) -> Result<String> {
    let context = ground.context("pool", &format!("FROM {base}\nCOPY pool /pool\n"))?;
    std::fs::write(context.join("pool"), pool).context("write the pool")?;
    let image = format!("{}/pool:1", ground.registry()?.host());
    let directory = context.to_string_lossy();
    ground
        .kiln()
        .run(&["build", "--push", "--tag", &image, &directory])?;
    Ok(image)
}

/// The compressed size beside that of `gzip -6`, which makes the same of each copy.
fn size(ground: &Ground, pool: &[u8], copies: usize) -> Result<Line> {
    let file = ground.scratch().path().join("data");
    std::fs::write(&file, pool).with_context(|| format!("write {}", file.display()))?;
    let compressed = |words: &str| -> Result<f64> {
        let script = format!("{words} < \"$1\" | wc -c");
        let counted = Invocation::shell(ground.identity(), &script, &[&file.to_string_lossy()]);
        let bytes: f64 = counted.output()?.trim().parse()?;
        Ok(bytes * copies as f64 / f64::from(1 << 20))
    };
    let store = ground
        .scratch()
        .path()
        .join("target/data/docker/registry/v2/blobs");
    let own = largest(&store)? as f64 / f64::from(1 << 20);
    Ok(Line {
        title: "compressed size of that layer".to_owned(),
        unit: Unit::Mebibytes,
        figures: vec![
            Figure::of("kiln", Role::Kiln, vec![own]),
            Figure::of("gzip -6", Role::Floor, vec![compressed("gzip -6")?]),
        ],
        target: Target::OfFloor(SIZE),
        notes: Vec::new(),
    })
}

/// The size of the largest file below `path`.
fn largest(path: &Path) -> Result<u64> {
    let mut found = 0;
    for entry in std::fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let size = if meta.is_dir() {
            largest(&entry.path())?
        } else {
            meta.len()
        };
        found = found.max(size);
    }
    Ok(found)
}

/// Data of which gzip keeps about two thirds: text-like, words that come again, and some that nothing can compress.
pub fn mixed(size: usize) -> Vec<u8> {
    let mut random = Random::new(3);
    let mut bytes = Vec::with_capacity(size + 8);
    let words: Vec<u64> = (0..512).map(|_| random.number()).collect();
    while bytes.len() < size {
        let number = random.number();
        match (bytes.len() >> 12) % 3 {
            0 => bytes.extend((0..16).map(|place| b'a' + ((number >> (4 * place)) & 15) as u8)),
            1 => bytes.extend(words[(number % 512) as usize].to_le_bytes()),
            _ => bytes.extend(number.to_le_bytes()),
        }
    }
    bytes.truncate(size);
    bytes
}
