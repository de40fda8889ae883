//! Layers by themselves, without commands and registries around them: written, compressed, taken in, verified.
//!
//! kiln's part is done by `store/examples/layer_work`, a process that does this one thing, so that its memory is that of the work. Beside the time
//! of the clock stands that of the processors, which other work on the machine changes less.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use xtask::process;
use xtask::random::Random;

use super::super::figures::{Figure, Line, Role, Target, Unit};
use super::super::ground::Ground;
use super::super::invocation::Invocation;
use super::{Row, minutes};
use crate::workspace;

/// Mebibytes of the tree that is written, and of each layer that is taken in; how many of these, and how many at once.
const TREE_MIB: usize = 256;
const LAYER_MIB: usize = 128;
const LAYERS: usize = 8;
const AT_ONCE: usize = 2;

/// One pass, or checking everything again, at 60 per cent of the rate of SHA-256 alone, or better.
const OF_HASHING: f64 = 1.0 / 0.6;
/// gzip three times faster than pigz on the same processors.
const OF_PIGZ: f64 = 1.0 / 3.0;
/// At a size within five per cent of `gzip -6`.
const OF_SIZE: f64 = 1.05;
/// Eight layers, both digests verified, 3.5 times faster than GNU gzip and tar one after the other.
const OF_GNU: f64 = 1.0 / 3.5;
/// Mebibytes of memory for all of them.
const MEMORY: f64 = 64.0;

/// The row.
pub const ROW: Row = Row {
    name: "store",
    about: "layers by themselves: one pass, gzip, zstd, unpack, verify",
    budget: minutes(30),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let bench = Bench::new(ground)?;
    let mut lines = bench.written()?;
    lines.extend(bench.taken_in()?);
    Ok(lines)
}

/// What one run took.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Run {
    seconds: f64,
    /// Seconds of all processors together.
    cpu: f64,
    /// What came out.
    bytes: u64,
    peak_kib: u64,
}

/// One tool's runs.
struct Runs {
    tool: &'static str,
    role: Role,
    runs: Vec<Run>,
}

impl Runs {
    fn new(tool: &'static str, role: Role) -> Self {
        Self {
            tool,
            role,
            runs: Vec::new(),
        }
    }

    fn figure(&self, role: Role, value: impl Fn(&Run) -> f64) -> Figure {
        let mut figure = Figure::of(self.tool, role, self.runs.iter().map(value).collect());
        figure.peak_kib = self.runs.iter().map(|run| run.peak_kib).max();
        figure.peak_kib = figure.peak_kib.filter(|kib| *kib > 0);
        figure
    }

    fn time(&self) -> Figure {
        self.figure(self.role, |run| run.seconds * 1e3)
    }

    fn processors(&self) -> Figure {
        self.figure(self.role, |run| run.cpu * 1e3)
    }

    fn size(&self, role: Role) -> Figure {
        self.figure(role, |run| run.bytes as f64 / f64::from(1 << 20))
    }
}

struct Bench<'a> {
    ground: &'a Ground,
    program: PathBuf,
}

impl<'a> Bench<'a> {
    /// Compiles kiln's part.
    fn new(ground: &'a Ground) -> Result<Self> {
        let mut build = workspace::cargo();
        build.args(["build", "--release", "--package", "kiln-store"]);
        build.args(["--example", "layer_work"]);
        process::stream(&mut build, ROW.budget)?;
        Ok(Self {
            ground,
            program: workspace::target().join("release/examples/layer_work"),
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.ground.scratch().path().join(name)
    }

    /// kiln's part, in an empty store.
    fn own(&self, words: &[&str]) -> Result<Run> {
        let mut all = vec![self.program.display().to_string()];
        all.extend(words.iter().map(|word| (*word).to_owned()));
        let said = Invocation::new(self.ground.identity(), all).output()?;
        serde_json::from_str(&said).with_context(|| format!("layer_work said {said}"))
    }

    fn store(&self) -> Result<String> {
        let store = self.at("layers");
        if store.exists() {
            std::fs::remove_dir_all(&store)?;
        }
        Ok(store.display().to_string())
    }

    /// A script, with `file` as `$1`. What it makes is its output, which stays in memory.
    fn script(&self, script: &str, file: &Path) -> Result<Run> {
        let (times, out) = (self.at("times"), self.at("made"));
        let names = [&times, file, &out].map(|path| path.display().to_string());
        let words = ["time", "-f", "%U %S", "-o", &names[0], "sh", "-ec", script];
        let words = words.into_iter().chain(["sh", &names[1], &names[2]]);
        let seconds = Invocation::new(self.ground.identity(), words)
            .run()?
            .as_secs_f64();
        let text = std::fs::read_to_string(&times)?;
        let cpu = text
            .split_whitespace()
            .filter_map(|word| word.parse::<f64>().ok())
            .sum();
        let bytes = std::fs::metadata(&out).map_or(0, |meta| meta.len());
        if out.is_dir() {
            std::fs::remove_dir_all(&out)?;
        }
        Ok(Run {
            seconds,
            cpu,
            bytes,
            peak_kib: 0,
        })
    }

    /// One pass over a tree, with each compression.
    fn written(&self) -> Result<Vec<Line>> {
        let size = self.ground.effort().size(TREE_MIB);
        let tree = self.at("tree");
        fill(&tree, size << 20, 1)?;
        let (tar, name) = (self.at("tree.tar"), tree.display().to_string());
        let packed = Invocation::shell(
            self.ground.identity(),
            "tar -C \"$1\" -cf \"$2\" .",
            &[&name, &tar.display().to_string()],
        );
        packed.run()?;
        let mut hash = Runs::new("SHA-256 alone, one core", Role::Floor);
        let mut tools = [
            (
                "tar c | sha256sum",
                "tar -C \"${1%.tar}\" -cf - . | sha256sum > \"$2\"",
            ),
            ("pigz -6", "pigz -6 < \"$1\" > \"$2\""),
            ("gzip -6", "gzip -6 < \"$1\" > \"$2\""),
            ("zstd -3", "zstd -q -3 -T0 < \"$1\" > \"$2\""),
        ]
        .map(|(tool, script)| (Runs::new(tool, Role::Peer), script));
        let mut own = ["none", "gzip", "zstd"].map(|kind| (Runs::new("kiln", Role::Kiln), kind));
        let mut notes = Vec::new();
        for _ in 0..self.ground.effort().rounds.min(3) {
            hash.runs
                .push(self.own(&["sha256", &tar.display().to_string()])?);
            for (runs, kind) in &mut own {
                runs.runs
                    .push(self.own(&["commit", &self.store()?, &name, kind])?);
            }
            for (runs, script) in &mut tools {
                match self.script(script, &tar) {
                    Ok(run) => runs.runs.push(run),
                    Err(error) => notes.push(format!("{}: {error}", runs.tool)),
                }
            }
            eprint!(".");
        }
        eprintln!(" layers written");
        std::fs::remove_dir_all(&tree)?;
        let [plain, gzip, zstd] = own.map(|(runs, _)| runs);
        let [summed, pigz, gnu, other] = tools.map(|(runs, _)| runs);
        notes.dedup();
        let line = |title: &str, figures: Vec<Figure>, target| Line {
            title: format!("{title}, {size} MiB"),
            unit: Unit::Milliseconds,
            figures,
            target,
            notes: Vec::new(),
        };
        let mut size_line = line(
            "size with gzip",
            vec![
                gzip.size(Role::Kiln),
                gnu.size(Role::Floor),
                pigz.size(Role::Beside),
            ],
            Target::OfFloor(OF_SIZE),
        );
        size_line.unit = Unit::Mebibytes;
        size_line.notes = notes;
        let mut other_size = line(
            "size with zstd",
            vec![zstd.size(Role::Kiln), other.size(Role::Peer)],
            Target::Watched,
        );
        other_size.unit = Unit::Mebibytes;
        Ok(vec![
            line(
                "one pass of tar, SHA-256, content digest",
                vec![plain.time(), hash.time(), summed.time()],
                Target::OfFloor(OF_HASHING),
            ),
            line(
                "the same, processors",
                vec![plain.processors(), summed.processors(), hash.processors()],
                Target::Watched,
            ),
            line(
                "one pass with gzip",
                vec![gzip.time(), pigz.time(), gnu.time()],
                Target::OfPeer(OF_PIGZ),
            ),
            line(
                "the same, processors",
                vec![gzip.processors(), pigz.processors(), gnu.processors()],
                Target::OfPeer(OF_PIGZ),
            ),
            size_line,
            line(
                "one pass with zstd",
                vec![zstd.time(), other.time()],
                Target::Watched,
            ),
            other_size,
        ])
    }

    /// Several layers that arrive at once; then everything hashed again.
    fn taken_in(&self) -> Result<Vec<Line>> {
        let mib = self.ground.effort().size(LAYER_MIB);
        let layers = self.layers(mib << 20)?;
        let words: Vec<String> = layers
            .iter()
            .map(|(digest, file)| format!("{digest}:{}", file.display()))
            .collect();
        let script: Vec<String> = layers
            .iter()
            .map(|(_, file)| format!("gzip -dc {0} | tar -C {0}.d -xf -", file.display()))
            .collect();
        let script = script.join(" && ");
        let mut own = Runs::new("kiln, two at once", Role::Kiln);
        let mut gnu = Runs::new("gzip -dc | tar x, one after the other", Role::Peer);
        let mut verify = Runs::new("kiln", Role::Kiln);
        let mut hash = Runs::new("SHA-256 alone, one core", Role::Floor);
        let blobs = self.at("blobs");
        for _ in 0..self.ground.effort().rounds {
            let store = self.store()?;
            let at_once = AT_ONCE.to_string();
            let mut all = vec!["ingest", &store, &at_once];
            all.extend(words.iter().map(String::as_str));
            own.runs.push(self.own(&all)?);
            verify.runs.push(self.own(&["verify", &store])?);
            hash.runs
                .push(self.own(&["sha256", &blobs.display().to_string()])?);
            std::fs::remove_dir_all(&store)?;
            for (_, file) in &layers {
                std::fs::create_dir(file.with_extension("gz.d"))?;
            }
            gnu.runs.push(self.script(&script, &blobs)?);
            for (_, file) in &layers {
                std::fs::remove_dir_all(file.with_extension("gz.d"))?;
            }
            eprint!(".");
        }
        eprintln!(" layers taken in");
        // What is hashed to verify: the compressed layers and their archives, the latter unpacked again.
        let hashed = verify.runs.first().map_or(0, |run| run.bytes);
        for run in &mut hash.runs {
            let scale = hashed as f64 / run.bytes.max(1) as f64;
            (run.seconds, run.cpu) = (run.seconds * scale, run.cpu * scale);
        }
        let title = format!("{LAYERS} layers of {mib} MiB unpacked, both digests verified");
        let line = |title: String, unit, figures, target| Line {
            title,
            unit,
            figures,
            target,
            notes: Vec::new(),
        };
        let memory = own.figure(Role::Kiln, |run| run.peak_kib as f64 / 1024.0);
        Ok(vec![
            line(
                title.clone(),
                Unit::Milliseconds,
                vec![own.time(), gnu.time()],
                Target::OfPeer(OF_GNU),
            ),
            line(
                "the same, processors".to_owned(),
                Unit::Milliseconds,
                vec![own.processors(), gnu.processors()],
                Target::Watched,
            ),
            line(
                format!("{title}: memory"),
                Unit::Mebibytes,
                vec![memory],
                Target::AtMost(MEMORY),
            ),
            line(
                "all of it verified again".to_owned(),
                Unit::Milliseconds,
                vec![verify.time(), hash.time()],
                Target::OfFloor(OF_HASHING),
            ),
        ])
    }

    /// Layers as GNU tar and pigz make them, with the digests of their archives; and one file with all of them, to be hashed.
    fn layers(&self, size: usize) -> Result<Vec<(String, PathBuf)>> {
        let mut layers = Vec::new();
        let all = self.at("blobs").display().to_string();
        for number in 0..LAYERS {
            let tree = self.at("layer");
            fill(&tree, size, 100 + number as u64)?;
            let file = self.at(&format!("{number}.tar.gz"));
            let names = [tree.display().to_string(), file.display().to_string()];
            let script = "tar -C \"$1\" -cf - . | pigz -6 > \"$2\"; cat \"$2\" >> \"$3\"; gzip -dc \"$2\" | sha256sum | cut -d ' ' -f 1";
            let made = Invocation::shell(
                self.ground.identity(),
                script,
                &[&names[0], &names[1], &all],
            );
            layers.push((format!("sha256:{}", made.output()?.trim()), file));
            std::fs::remove_dir_all(&tree)?;
        }
        Ok(layers)
    }
}

/// Binaries and texts of this machine, and a fifth of noise, as images have them: files of all sizes.
fn fill(root: &Path, size: usize, seed: u64) -> Result<()> {
    let mut find = std::process::Command::new("find");
    find.args(["/usr/bin", "/usr/lib", "/usr/share", "/usr/include"]);
    find.args(["-xdev", "-type", "f", "-size", "-20000k"]);
    let found = process::run(&mut find, ROW.budget)?.stdout;
    let sources: Vec<&str> = found.lines().collect();
    let mut random = Random::new(seed);
    let mut below = |limit: usize| (random.number() % limit.max(1) as u64) as usize;
    let (mut total, mut number, mut noise) = (0, 0, 0);
    while total < size {
        let directory = root.join(format!("d{}", number / 200));
        std::fs::create_dir_all(&directory)?;
        let content = if noise * 5 < total {
            let mut random = Random::new(seed + number as u64);
            let words = 60_000 + below(250_000);
            noise += words * 8;
            (0..words)
                .flat_map(|_| random.number().to_le_bytes())
                .collect()
        } else {
            let source = sources.get(below(sources.len()));
            // Some cannot be read by whoever measures.
            source
                .and_then(|path| std::fs::read(path).ok())
                .unwrap_or_default()
        };
        total += content.len();
        std::fs::write(directory.join(format!("f{number}")), content)?;
        number += 1;
    }
    Ok(())
}
