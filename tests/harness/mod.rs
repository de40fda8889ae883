//! The harness of test programs that need the first line of `main` for themselves. It reads and prints what the standard one does:
//! `PROGRAM [--list] [FILTER]`.

#![allow(clippy::print_stdout)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Five minutes are far more than any test takes on a slow machine; one that waits longer waits for ever.
const LIMIT: Duration = Duration::from_secs(300);

/// The argument that is no flag.
pub fn filter() -> String {
    let mut arguments = std::env::args().skip(1);
    arguments
        .find(|argument| !argument.starts_with('-'))
        .unwrap_or_default()
}

/// Whether a flag was given.
pub fn has_flag(flag: &str) -> bool {
    std::env::args().any(|argument| argument == flag)
}

/// The tests that the command line asks to run; none, printed instead, if it asks for their names.
pub fn selected<T: Copy>(all: &[(&'static str, T)]) -> Option<Vec<(&'static str, T)>> {
    let filter = filter();
    let chosen = all.iter().filter(|(name, _)| name.contains(&filter));
    let tests: Vec<_> = chosen.copied().collect();
    if has_flag("--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return None;
    }
    Some(tests)
}

/// Says that nothing can be run here.
pub fn skip(needed: &str) -> ExitCode {
    println!("skipped: needs {needed}");
    ExitCode::SUCCESS
}

/// Runs tests one after the other.
pub fn run<T: Copy>(tests: &[(&'static str, T)], play: impl Fn(T)) -> ExitCode {
    println!("\nrunning {} tests", tests.len());
    let mut failed = 0;
    for &(name, test) in tests {
        let started = Instant::now();
        let (_running, over) = channel::<()>();
        thread::spawn(move || {
            if over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                give_up(name);
            }
        });
        let passed = catch_unwind(AssertUnwindSafe(|| play(test))).is_ok();
        let verdict = if passed { "ok" } else { "FAILED" };
        let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
        println!("test {name} ... {verdict} ({milliseconds:.1} ms)");
        failed += usize::from(!passed);
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let passed = tests.len() - failed;
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed\n");
    ExitCode::from(u8::from(failed > 0))
}

#[allow(clippy::exit, reason = "a test that hangs cannot be ended otherwise")]
fn give_up(name: &str) {
    let seconds = LIMIT.as_secs();
    println!(
        "it did not end within {seconds} s\ntest {name} ... FAILED\n\ntest result: FAILED. the others were not run\n"
    );
    std::process::exit(1);
}
