//! The candidates for gzip, small steps, and a huge layer in little memory, on the machine at hand. Not part of the usual run:
//! `cargo test --release -p kiln-store --test layer_rates -- --ignored --nocapture --test-threads 1`
//! Whole layers beside the usual tools: `cargo xtask bench --only store`.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use kiln_store::{CommitOptions, Compression, DiffId, Stack, Store};
use support::*;

const MIB: f64 = 1_048_576.0;

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
