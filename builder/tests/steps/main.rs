//! Builds with steps that run: on root, in a store on a tmpfs, with the machine's static busybox as the only program.
//!
//! This program has no harness of its own: the launcher of steps wants the first line of `main`, before any thread.

// It is its own harness.
#![allow(clippy::print_stdout)]

mod lab;
mod run;

use lab::{Lab, Test};

fn main() {
    kiln_runtime::init();
    let filter: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if let Some(missing) = Lab::missing() {
        println!("skipped: needs {missing}");
        return;
    }
    let mut failed = Vec::new();
    let all: Vec<Test> = run::TESTS.iter().copied().collect();
    for (name, test) in all {
        if !filter.is_empty() && !filter.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let outcome = std::panic::catch_unwind(|| test(&Lab::new()));
        println!(
            "test {name} ... {}",
            if outcome.is_ok() { "ok" } else { "FAILED" }
        );
        if outcome.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
