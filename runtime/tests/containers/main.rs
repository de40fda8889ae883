//! Runs real containers. Needs root or subordinate ids, and a static busybox; says so and skips otherwise.
//!
//! Runs as its own program: `containers [FILTER]`; `--list` names the tests, as the standard harness does.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // It is its own test harness.

mod image;
mod life;
mod ports;
mod recovery;
mod streams;
mod support;
mod volumes;

use std::process::ExitCode;
use std::time::Instant;

use kiln_runtime::{Launcher, LauncherOptions, userns};
use support::Context;

pub(crate) type Test = (&'static str, fn(&Context));

fn main() -> ExitCode {
    kiln_runtime::init();
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .unwrap_or_default();
    let all = [
        life::TESTS,
        streams::TESTS,
        ports::TESTS,
        volumes::TESTS,
        recovery::TESTS,
    ]
    .concat();
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
        Err(error) => return skip(&format!("root or subordinate ids ({error})")),
    };
    let Some(busybox) = image::find_busybox() else {
        return skip("a static busybox (Debian's busybox-static)");
    };
    let directory = support::directory();
    let (store, image) = image::make(directory.path(), entered.user_xattrs(), &busybox);
    let options = LauncherOptions {
        store_root: store.root().to_owned(),
        user_xattrs: entered.user_xattrs(),
    };
    let launcher = match Launcher::start(&options) {
        Ok(launcher) => launcher,
        Err(error) => return skip(&format!("a launcher ({error})")),
    };
    let context = Context::new(store, image, launcher);
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
        context.remove_all();
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

fn skip(what: &str) -> ExitCode {
    println!("skipped: needs {what}");
    ExitCode::SUCCESS
}
