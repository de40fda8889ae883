//! One piece of work on layers in a process of its own, with what it took as JSON: `cargo xtask bench` compares it with other tools,
//! and the memory is that of nothing else.
//!
//! ```text
//! layer_work sha256 FILE
//! layer_work commit STORE TREE none|gzip|zstd
//! layer_work ingest STORE AT_ONCE DIFF_ID:FILE...
//! layer_work verify STORE
//! ```
//!
//! `commit` copies the tree into the store first, outside of the time. `ingest` hashes the files first, for the same reason.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use kiln_store::{
    Algorithm, CommitOptions, Compression, Descriptor, DiffId, Digest, Hasher, OverlayXattrs,
    Store, StoreOptions,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is read at once.
const BLOCK: usize = 256 << 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["sha256", file] => sha256(file),
        ["commit", root, tree, compression] => commit(root, tree, compression),
        ["ingest", root, at_once, layers @ ..] => ingest(root, at_once, layers),
        ["verify", root] => verify(root),
        _ => Err("usage: layer_work sha256|commit|ingest|verify ...".into()),
    };
    match done {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the work and says what it took: seconds, seconds of all processors, and the bytes that it gives.
fn timed(work: impl FnOnce() -> Result<u64>) -> Result<String> {
    let (start, before) = (Instant::now(), processor_seconds());
    let bytes = work()?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), processor_seconds() - before);
    let peak = peak_kib()?;
    Ok(format!(
        r#"{{"seconds":{seconds:.4},"cpu":{cpu:.4},"bytes":{bytes},"peak_kib":{peak}}}"#
    ))
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    // Within the life of a process these are far below the precision of f64.
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.and_then(|line| line.split_whitespace().next());
    Ok(text.ok_or("no VmHWM")?.parse()?)
}

fn open(root: &str) -> Result<Store> {
    let is_root = rustix::process::geteuid().is_root();
    let options = StoreOptions {
        overlay_xattrs: match is_root {
            true => OverlayXattrs::Trusted,
            false => OverlayXattrs::User,
        },
        durable: false,
    };
    Ok(Store::open(Path::new(root), options)?)
}

fn sha256(file: &str) -> Result<String> {
    timed(|| Ok(digest_of(file)?.1))
}

fn digest_of(file: &str) -> Result<(Digest, u64)> {
    let mut file = File::open(file)?;
    let (mut hasher, mut buffer, mut size) = (Hasher::new(Algorithm::Sha256), vec![0; BLOCK], 0);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..length]);
        size += length as u64;
    }
}

fn commit(root: &str, tree: &str, compression: &str) -> Result<String> {
    let store = open(root)?;
    let empty = store.stack(&[])?;
    let new = store.new_tree(&empty)?;
    let copied = Command::new("cp")
        .arg("-a")
        .arg(Path::new(tree).join("."))
        .arg(new.fs())
        .status()?;
    if !copied.success() {
        return Err("cp failed".into());
    }
    let options = CommitOptions {
        clamp_mtime: None,
        compression: match compression {
            "none" => None,
            "gzip" => Some(Compression::GZIP),
            "zstd" => Some(Compression::ZSTD),
            other => return Err(format!("no compression `{other}`").into()),
        },
    };
    timed(|| {
        let record = store.commit_tree(new, &empty, &options)?;
        Ok(record
            .blobs
            .first()
            .map_or(record.tar_size, |blob| blob.size))
    })
}

fn ingest(root: &str, at_once: &str, layers: &[&str]) -> Result<String> {
    let store = open(root)?;
    let at_once: usize = at_once.parse()?;
    let mut wanted = Vec::new();
    for layer in layers {
        let (diff_id, file) = layer.rsplit_once(':').ok_or("want DIFF_ID:FILE")?;
        let (digest, size) = digest_of(file)?;
        let blob = Descriptor::new(Compression::GZIP.media_type(), digest, size);
        wanted.push((DiffId(diff_id.parse()?), blob, file.to_owned()));
    }
    let next = AtomicUsize::new(0);
    let take = || -> Result<u64> {
        let mut bytes = 0;
        while let Some((diff_id, blob, file)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut file = File::open(file)?;
            let record = store.ingest_layer(&mut file, blob, diff_id, &Default::default())?;
            bytes += record.tar_size;
        }
        Ok(bytes)
    };
    timed(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(take)).collect();
            let each = threads.into_iter().map(|thread| match thread.join() {
                Ok(bytes) => bytes,
                Err(_) => Err("a thread panicked".into()),
            });
            each.sum()
        })
    })
}

fn verify(root: &str) -> Result<String> {
    let store = open(root)?;
    timed(|| {
        let report = store.verify(&|_| {})?;
        match report.damage.first() {
            None => Ok(report.bytes),
            Some(damage) => Err(format!("the store is damaged: {damage:?}").into()),
        }
    })
}
