//! Builds with steps that run: on root, in a store on a tmpfs, with the machine's static busybox as the only program.
//!
//! The standard harness is of no use here: the launcher of steps wants the first line of `main`, before any thread.

#[path = "../../../tests/harness/mod.rs"]
mod harness;
mod lab;
mod run;

use std::process::ExitCode;

use lab::Lab;

fn main() -> ExitCode {
    kiln_runtime::init();
    let Some(tests) = harness::selected(run::TESTS) else {
        return ExitCode::SUCCESS;
    };
    if let Some(missing) = Lab::missing() {
        return harness::skip(missing);
    }
    harness::run(&tests, |test| test(&Lab::new()))
}
