//! Launches real processes. Needs root or subordinate ids; says so and skips otherwise.
//!
//! Runs as its own program: `launch [FILTER]`; `--list` names the tests, as the standard harness does.

#![allow(clippy::print_stdout)] // It is its own test harness.

mod bench;
mod faults;
#[path = "../../../tests/harness/mod.rs"]
mod harness;
mod lifecycle;
mod mounts;
mod rootfs;
mod steps;
mod view;

use std::process::ExitCode;

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
    let all = [
        steps::TESTS,
        view::TESTS,
        mounts::TESTS,
        lifecycle::TESTS,
        faults::TESTS,
    ]
    .concat();
    let Some(tests) = harness::selected(&all) else {
        return ExitCode::SUCCESS;
    };
    let entered = match userns::enter(&userns::EnterOptions::default()) {
        Ok(entered) => entered,
        Err(error) => return harness::skip(&format!("root or subordinate ids ({error})")),
    };
    let store = Store::new();
    let options = LauncherOptions {
        store_root: store.root().to_owned(),
        user_xattrs: entered.user_xattrs(),
    };
    let launcher = match Launcher::start(&options) {
        Ok(launcher) => launcher,
        Err(error) => return harness::skip(&format!("a launcher ({error})")),
    };
    let context = Context {
        launcher,
        store,
        entered,
    };
    if harness::has_flag("--bench") {
        bench::run(&context, harness::filter().parse().unwrap_or(200));
        return ExitCode::SUCCESS;
    }
    harness::run(&tests, |test| test(&context))
}
