//! Mutation fuzzing for as long as one likes: `cargo xtask fuzz --seconds N` runs this in release mode.

#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kiln_grammar::fuzz::{Corpora, Fuzzer, Subject};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn corpora() -> Corpora {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let cases = fs::read_dir(fixtures().join("dockerfiles")).unwrap();
    let mut dockerfiles: Vec<String> = cases
        .map(|case| read(case.unwrap().path().join("Dockerfile")))
        .collect();
    dockerfiles.sort();
    Corpora {
        dockerfiles,
        words: read(fixtures().join("corpora/words.txt"))
            .lines()
            .map(ToOwned::to_owned)
            .collect(),
        ignores: read(fixtures().join("corpora/ignores.txt"))
            .split("---\n")
            .map(ToOwned::to_owned)
            .collect(),
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
#[ignore = "runs for as long as KILN_FUZZ_SECONDS says"]
fn mutants_keep_the_invariants() {
    let seconds = setting("KILN_FUZZ_SECONDS").unwrap_or(10);
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| u64::from(time.subsec_nanos()))
    };
    let seed = setting("KILN_TEST_SEED").unwrap_or_else(clock);
    println!("seed {seed}");
    let mut fuzzer = Fuzzer::new(seed, corpora());
    let mut counts = [0_u64; 3];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        // The clock is looked at now and then only: a step takes less than reading it is worth.
        for _ in 0..100 {
            match fuzzer.step() {
                Ok(Subject::Dockerfile) => counts[0] += 1,
                Ok(Subject::Expansion) => counts[1] += 1,
                Ok(Subject::Ignore) => counts[2] += 1,
                Err(failure) => panic!("seed {seed}: {failure:#?}"),
            }
        }
    }
    println!(
        "counted {} Dockerfiles, {} words, {} ignore files in {seconds} s: nothing found",
        counts[0], counts[1], counts[2]
    );
}
