//! Rates of the layer code beside the usual tools, on the machine at hand. Not part of the usual run:
//! `cargo test --release -p kiln-store --test layer_rates -- --ignored --nocapture --test-threads 1`

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use kiln_store::{CommitOptions, Compression, DiffId, Digest, LayerRecord, Stack, Store};
use support::*;

const MIB: f64 = 1_048_576.0;
/// The size of the mixed tree.
const TREE: usize = 256 << 20;

/// Binaries and texts of this machine, and a fifth of noise, as images have them: files of all sizes.
fn mixed_tree(root: &Path, size: usize) {
    let mut sources = Vec::new();
    for directory in ["/usr/bin", "/usr/lib", "/usr/share", "/usr/include"] {
        let found = Command::new("find")
            .args([directory, "-xdev", "-type", "f", "-size", "-20000k"])
            .output()
            .unwrap();
        sources.extend(
            String::from_utf8_lossy(&found.stdout)
                .lines()
                .map(str::to_owned),
        );
    }
    let mut random = Random(1);
    let mut total = 0;
    for number in 0.. {
        if total >= size {
            break;
        }
        let directory = root.join(format!("d{}", number / 200));
        fs::create_dir_all(&directory).unwrap();
        let content = if number % 90 == 0 {
            random.bytes(random_length(&mut Random(number as u64 + 1)))
        } else {
            fs::read(&sources[random.below(sources.len())]).unwrap_or_default()
        };
        total += content.len();
        fs::write(directory.join(format!("f{number}")), content).unwrap();
    }
}

fn random_length(random: &mut Random) -> usize {
    500_000 + random.below(2_000_000)
}

fn timed<T>(what: &str, bytes: f64, work: impl FnOnce() -> T) -> T {
    let (start, cpu) = (Instant::now(), cpu());
    let result = work();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), self::cpu() - cpu);
    println!(
        "{what:46} {seconds:7.3} s  {:7.0} MB/s  {cpu:6.3} CPU s",
        bytes / 1e6 / seconds
    );
    result
}

/// What this process used of all cores, and the programs that it started and that ended: user and system time.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    // proc_pid_stat(5): cutime and cstime are the fields 16 and 17, the state behind the name is 3; a hundredth of a second.
    let children: f64 = fields
        .skip(13)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum();
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9 + children / 100.0
}

/// The candidates for gzip, each block of a mebibyte a member of its own, on one core.
#[test]
#[ignore = "measures the machine"]
fn compressors() {
    const SIZE: usize = 96 << 20;
    let scratch = scratch();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    mixed_tree(&source, SIZE);
    let tar = scratch.path().join("all.tar");
    run(Command::new("tar")
        .arg("-C")
        .arg(&source)
        .arg("-cf")
        .arg(&tar)
        .arg("."));
    let bytes = fs::read(&tar).unwrap();
    let size = bytes.len() as f64;
    let report = |length: usize| println!("{:46} {:.1} MiB", "", length as f64 / MIB);
    let tool = |script: &str| {
        let out = scratch.path().join("out.gz");
        shell(
            script,
            size,
            &format!("{script} < {} > {}", tar.display(), out.display()),
        );
        report(fs::metadata(&out).unwrap().len() as usize);
    };
    for script in ["gzip -6", "gzip -1", "pigz -6 -p 1", "pigz -6 -p 2"] {
        tool(script);
    }
    for level in [1, 3, 4, 5, 6, 7, 9] {
        let level_of = libdeflater::CompressionLvl::new(level).unwrap();
        let mut compressor = libdeflater::Compressor::new(level_of);
        let length = timed(&format!("libdeflate {level}"), size, || {
            let mut out = vec![0; compressor.gzip_compress_bound(1 << 20)];
            let blocks = bytes.chunks(1 << 20);
            blocks
                .map(|block| compressor.gzip_compress(block, &mut out).unwrap())
                .sum()
        });
        report(length);
    }
    for level in [1, 2, 3, 4, 5, 6, 9] {
        let length = timed(&format!("zlib-rs {level}"), size, || {
            let compress = |block: &[u8]| {
                let level = flate2::Compression::new(level);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(block).unwrap();
                encoder.finish().unwrap().len()
            };
            bytes.chunks(1 << 20).map(compress).sum()
        });
        report(length);
    }
}

fn commit(store: &Store, source: &Path, compression: Option<Compression>) -> LayerRecord {
    let empty = store.stack(&[]).unwrap();
    let tree = store.new_tree(&empty).unwrap();
    run(Command::new("cp")
        .arg("-a")
        .arg(source.join("."))
        .arg(tree.fs()));
    let size = du(source);
    let options = CommitOptions {
        clamp_mtime: None,
        compression,
    };
    let record = timed(&format!("commit, {compression:?}"), size, || {
        store.commit_tree(tree, &empty, &options).unwrap()
    });
    for blob in &record.blobs {
        println!(
            "{:46} {:.1} MiB of {:.1}",
            "",
            blob.size as f64 / MIB,
            record.tar_size as f64 / MIB
        );
    }
    record
}

fn du(root: &Path) -> f64 {
    let output = Command::new("du").args(["-sb"]).arg(root).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn shell(what: &str, bytes: f64, script: &str) {
    timed(what, bytes, || {
        run(Command::new("sh").arg("-c").arg(script))
    });
}

fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default()
        .to_owned()
}

#[test]
#[ignore = "measures the machine"]
fn writing_and_reading() {
    let scratch = scratch();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    mixed_tree(&source, TREE);
    let size = du(&source);
    let at = |name: &str| scratch.path().join(name).display().to_string();
    let source_name = source.display().to_string();
    timed("sha256 of 512 MiB of zeros, one core", 512.0 * MIB, || {
        Digest::sha256(&vec![0; 512 << 20])
    });
    shell(
        "tar c | sha256sum",
        size,
        &format!("tar -C {source_name} -cf - . | sha256sum"),
    );
    shell(
        "tar c > file",
        size,
        &format!("tar -C {source_name} -cf {} .", at("all.tar")),
    );
    shell(
        "gzip -6",
        size,
        &format!("gzip -6 < {} > {}", at("all.tar"), at("all.gz")),
    );
    shell(
        "pigz -6",
        size,
        &format!("pigz -6 < {} > {}", at("all.tar"), at("all.pigz")),
    );
    println!(
        "gzip {:.1} MiB, pigz {:.1} MiB",
        fs::metadata(at("all.gz")).unwrap().len() as f64 / MIB,
        fs::metadata(at("all.pigz")).unwrap().len() as f64 / MIB
    );
    fs::create_dir(at("out")).unwrap();
    shell(
        "gzip -dc | tar x",
        size,
        &format!("gzip -dc {} | tar -C {} -xf -", at("all.gz"), at("out")),
    );
    fs::remove_dir_all(at("out")).unwrap();
    for (number, compression) in [None, Some(Compression::GZIP), Some(Compression::ZSTD)]
        .into_iter()
        .enumerate()
    {
        let here = store(&scratch.path().join(format!("store-{number}")));
        let record = commit(&here, &source, compression);
        let there = store(&scratch.path().join(format!("there-{number}")));
        let compression = compression.unwrap_or(Compression::None);
        let blob = here.layer_blob(&record.diff_id, compression).unwrap();
        let mut file = here.open_blob(&blob.digest).unwrap();
        timed(&format!("ingest, {compression:?}"), size, || {
            there
                .ingest_layer(&mut file, &blob, &record.diff_id, &Default::default())
                .unwrap()
        });
        fs::remove_dir_all(there.root()).unwrap();
        fs::remove_dir_all(here.root()).unwrap();
    }
    println!("{}", peak_memory());
}

#[test]
#[ignore = "measures the machine"]
fn eight_layers_at_once() {
    let scratch = scratch();
    let here = store(&scratch.path().join("here"));
    let there = store(&scratch.path().join("there"));
    let mut layers = Vec::new();
    let mut total = 0.0;
    for number in 0..8 {
        let source = scratch.path().join(format!("source-{number}"));
        fs::create_dir(&source).unwrap();
        fs::write(source.join("which"), number.to_string()).unwrap();
        mixed_tree(&source, 128 << 20);
        let tar = scratch.path().join(format!("{number}.tar.gz"));
        run(Command::new("sh").arg("-c").arg(format!(
            "tar -C {} -cf - . | pigz -6 > {}",
            source.display(),
            tar.display()
        )));
        let plain = Command::new("gzip")
            .arg("-dc")
            .arg(&tar)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        total += plain.stdout.len() as f64;
        let diff_id = DiffId(Digest::sha256(&plain.stdout));
        let bytes = fs::read(&tar).unwrap();
        let digest = here.put_blob(&bytes).unwrap();
        layers.push((
            diff_id,
            kiln_store::Descriptor::new(Compression::GZIP.media_type(), digest, bytes.len() as u64),
            tar,
        ));
        fs::remove_dir_all(&source).unwrap();
    }
    let script: Vec<String> = layers
        .iter()
        .map(|(_, _, tar)| {
            let out = tar.with_extension("out");
            fs::create_dir(&out).unwrap();
            format!(
                "gzip -dc {} | tar -C {} -xf -",
                tar.display(),
                out.display()
            )
        })
        .collect();
    shell(
        "gzip -dc | tar x, one after the other",
        total,
        &script.join(" && "),
    );
    for (_, _, tar) in &layers {
        fs::remove_dir_all(tar.with_extension("out")).unwrap();
    }
    for at_once in [2, 4, 8] {
        let there = store(&scratch.path().join(format!("there-{at_once}")));
        timed(
            &format!("ingest of eight layers, {at_once} at once"),
            total,
            || {
                let next = std::sync::atomic::AtomicUsize::new(0);
                std::thread::scope(|scope| {
                    for _ in 0..at_once {
                        scope.spawn(|| {
                            while let Some((diff_id, blob, _)) =
                                layers.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                            {
                                let mut file = here.open_blob(&blob.digest).unwrap();
                                there
                                    .ingest_layer(&mut file, blob, diff_id, &Default::default())
                                    .unwrap();
                            }
                        });
                    }
                });
            },
        );
        fs::remove_dir_all(there.root()).unwrap();
    }
    println!("{}", peak_memory());
    drop(there);
}

fn small_step(store: &Store, below: &Stack, number: usize) -> Stack {
    let tree = store.new_tree(below).unwrap();
    fs::write(tree.fs().join(format!("file-{number}")), "x").unwrap();
    let options = CommitOptions {
        clamp_mtime: None,
        compression: None,
    };
    let record = store.commit_tree(tree, below, &options).unwrap();
    let layers: Vec<DiffId> = below
        .layers()
        .iter()
        .copied()
        .chain([record.diff_id])
        .collect();
    store.stack(&layers).unwrap()
}

#[test]
#[ignore = "measures the machine"]
fn small_steps() {
    let scratch = scratch();
    let store = store(&scratch.path().join("store"));
    let mut stack = store.stack(&[]).unwrap();
    let start = Instant::now();
    for number in 0..50 {
        stack = small_step(&store, &stack, number);
    }
    println!(
        "new tree, commit and stack of a small step: {:.3} ms",
        start.elapsed().as_secs_f64() * 20.0
    );
    let again = support::store(store.root());
    for _ in 0..3 {
        let start = Instant::now();
        let known = again.stack(stack.layers()).unwrap();
        println!(
            "known stack of 50 layers: {:.3} ms",
            start.elapsed().as_secs_f64() * 1e3
        );
        let start = Instant::now();
        let view = known.view();
        assert!(
            view.lookup(b"file-7", kiln_store::Follow::All)
                .unwrap()
                .is_some()
        );
        println!(
            "look-up through 50 layers: {:.3} ms",
            start.elapsed().as_secs_f64() * 1e3
        );
    }
}

/// What a layer of any size may take of memory.
const MEMORY: u64 = 64 << 20;

/// On disk: memory could not hold it.
#[test]
#[ignore = "writes nine gigabytes"]
fn a_huge_layer_in_little_memory() {
    const BLOCKS: usize = 2100;
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = store(&scratch.path().join("here"));
    let empty = here.stack(&[]).unwrap();
    let tree = here.new_tree(&empty).unwrap();
    let mut file = File::create(tree.fs().join("huge")).unwrap();
    let mut random = Random(7);
    let block = [random.bytes(48 << 10), b"some text, ".repeat(182_000)].concat();
    for _ in 0..BLOCKS {
        file.write_all(&block).unwrap();
    }
    drop(file);
    let options = CommitOptions {
        clamp_mtime: None,
        compression: Some(Compression::GZIP),
    };
    let size = (block.len() * BLOCKS) as f64;
    assert!(size > 4.0 * 1024.0 * MIB);
    let record = timed("commit of one huge file, gzip", size, || {
        here.commit_tree(tree, &empty, &options).unwrap()
    });
    println!("{}", peak_memory());
    // Room for the other copy.
    fs::remove_dir_all(here.root().join("layers")).unwrap();
    let there = store(&scratch.path().join("there"));
    let blob = &record.blobs[0];
    timed("ingest of one huge file", size, || {
        let mut file = here.open_blob(&blob.digest).unwrap();
        there
            .ingest_layer(&mut file, blob, &record.diff_id, &Default::default())
            .unwrap()
    });
    let peak = peak_memory();
    println!("{peak}");
    println!("counted {:.0} MiB in one layer", size / MIB);
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib << 10 < MEMORY, "{peak}");
}
