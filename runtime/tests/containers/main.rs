//! Runs real containers. Needs root or subordinate ids, and a static busybox; says so and skips otherwise.
//!
//! Runs as its own program: `containers [FILTER]`; `--list` names the tests, as the standard harness does.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // It is its own test harness.

#[path = "../../../tests/harness/mod.rs"]
mod harness;
mod image;
mod life;
mod ports;
mod recovery;
mod streams;
mod support;
mod volumes;

use std::process::ExitCode;

use kiln_runtime::{Launcher, LauncherOptions, userns};
use support::Context;

pub(crate) type Test = (&'static str, fn(&Context));

fn main() -> ExitCode {
    kiln_runtime::init();
    let all = [
        life::TESTS,
        streams::TESTS,
        ports::TESTS,
        volumes::TESTS,
        recovery::TESTS,
    ]
    .concat();
    let Some(tests) = harness::selected(&all) else {
        return ExitCode::SUCCESS;
    };
    let entered = match userns::enter(&userns::EnterOptions::default()) {
        Ok(entered) => entered,
        Err(error) => return harness::skip(&format!("root or subordinate ids ({error})")),
    };
    let Some(busybox) = image::find_busybox() else {
        return harness::skip("a static busybox (Debian's busybox-static)");
    };
    let directory = support::directory();
    let (store, image) = image::make(directory.path(), entered.user_xattrs(), &busybox);
    let options = LauncherOptions {
        store_root: store.root().to_owned(),
        user_xattrs: entered.user_xattrs(),
    };
    let launcher = match Launcher::start(&options) {
        Ok(launcher) => launcher,
        Err(error) => return harness::skip(&format!("a launcher ({error})")),
    };
    let context = Context::new(store, image, launcher);
    let result = harness::run(&tests, |test| {
        let _remove = RemoveAll(&context);
        test(&context);
    });
    remove_networks(context.store.root());
    result
}

/// Takes the bridges out of the machine that root's containers were on.
fn remove_networks(root: &std::path::Path) {
    let networks = kiln_runtime::network::Networks::of(root);
    for network in networks.list().unwrap_or_default() {
        if let Err(error) = networks.take_down(&network.name) {
            println!("cannot remove network {}: {error}", network.name);
        }
    }
}

/// Leaves no container behind, also when the test fails.
struct RemoveAll<'a>(&'a Context);

impl Drop for RemoveAll<'_> {
    fn drop(&mut self) {
        self.0.remove_all();
    }
}
