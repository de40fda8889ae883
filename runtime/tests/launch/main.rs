//! Launches real processes. Needs root or subordinate ids; says so and skips otherwise.
//!
//! Runs as its own program: `launch [FILTER]`; `--list` names the tests, as the standard harness does.

#![allow(clippy::print_stdout)] // It is its own test harness.

mod bench;
mod lifecycle;
mod mounts;
mod rootfs;
mod steps;
mod view;

use std::process::ExitCode;
use std::time::Instant;

use kiln_runtime::{Launcher, LauncherOptions, userns};
use rootfs::Store;

/// What every test gets.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) launcher: Launcher,
    pub(crate) store: Store,
    pub(crate) entered: userns::Entered,
}

type Test = (&'static str, fn(&Context));

fn main() -> ExitCode {
    kiln_runtime::init_with(lifecycle::monitor_main);
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .unwrap_or_default();
    let all = [steps::TESTS, view::TESTS, mounts::TESTS, lifecycle::TESTS].concat();
    let tests: Vec<Test> = all
        .into_iter()
        .filter(|(name, _)| name.contains(&filter))
        .collect();
    if std::env::args().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let entered = match userns::enter(&userns::EnterOptions::default()) {
        Ok(entered) => entered,
        Err(error) => {
            println!("skipped: needs root or subordinate ids ({error})");
            return ExitCode::SUCCESS;
        }
    };
    let store = Store::new();
    let options = LauncherOptions {
        store_root: store.root().to_owned(),
        user_xattrs: entered.user_xattrs(),
    };
    let launcher = match Launcher::start(&options) {
        Ok(launcher) => launcher,
        Err(error) => {
            println!("skipped: needs a launcher ({error})");
            return ExitCode::SUCCESS;
        }
    };
    let context = Context {
        launcher,
        store,
        entered,
    };
    if std::env::args().any(|argument| argument == "--bench") {
        bench::run(&context, filter.parse().unwrap_or(200));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests ({entered:?})", tests.len());
    let (total, mut failed) = (tests.len(), 0);
    for (name, test) in tests {
        let started = Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&context)));
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!(
            "test {name} ... {verdict} ({:.1} ms)",
            started.elapsed().as_secs_f64() * 1000.0
        );
        failed += usize::from(result.is_err());
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed\n",
        total - failed
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
