//! The parts of the soak, each a test that does much more than every day.
//!
//! To add one: write a test that prints `seed N` if it is random, and `counted WHAT` for what it did; where the test also runs every
//! day, let a variable say how much it does, with a small default; where not, mark it `#[ignore]`. Then list it in [`PARTS`].

use std::process::Command;
use std::time::Duration;

use xtask::limits::{CONTAINERS_VARIABLE, LOG_VARIABLE};
use xtask::random::{MOMENTS_VARIABLE, SECONDS_VARIABLE};

use crate::workspace;

/// Tells the store's test how often to kill.
const KILLS_VARIABLE: &str = "KILN_TEST_KILLS";

/// One part: a test and how much of it.
#[derive(Debug)]
pub struct Part {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// After this it is ended and counts as failed.
    pub budget: Duration,
    /// The package, and the target as cargo's arguments.
    package: &'static str,
    target: &'static [&'static str],
    /// The test's name, or its beginning.
    test: &'static str,
    /// Whether it is compiled as the release is.
    release: bool,
    /// Whether it is left out every day.
    ignored: bool,
    /// The variable that says how much it does, and how much.
    pub amount: Option<(&'static str, u64)>,
}

/// A budget in minutes.
const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// All of them, in the order they are run in.
pub const PARTS: &[Part] = &[
    Part {
        name: "store",
        about: "a process that writes, reads and prunes a store, killed again and again",
        budget: minutes(60),
        package: "kiln-store",
        target: &["--lib"],
        test: "store::tests::crash",
        release: false,
        ignored: false,
        amount: Some((KILLS_VARIABLE, 1000)),
    },
    Part {
        name: "layer",
        about: "a layer of more than four gigabytes in little memory; takes as much of the disk",
        budget: minutes(60),
        package: "kiln-store",
        target: &["--test", "layer_rates"],
        test: "a_huge_layer_in_little_memory",
        release: true,
        ignored: true,
        amount: None,
    },
    Part {
        name: "builds",
        about: "builds killed at random moments, as root and as an ordinary user",
        budget: minutes(120),
        package: "kiln",
        target: &["--test", "end_to_end"],
        test: "interrupted",
        release: false,
        ignored: false,
        amount: Some((MOMENTS_VARIABLE, 300)),
    },
    Part {
        name: "containers",
        about: "hundreds of containers started at once from one image, which all answer and leave nothing",
        budget: minutes(60),
        package: "kiln",
        target: &["--test", "end_to_end"],
        test: "many_at_once",
        release: true,
        ignored: false,
        amount: Some((CONTAINERS_VARIABLE, 200)),
    },
    Part {
        name: "log",
        about: "mebibytes of one container's log, in little memory of its monitor",
        budget: minutes(60),
        package: "kiln",
        target: &["--test", "end_to_end"],
        test: "a_long_log_in_little_memory",
        release: true,
        ignored: false,
        amount: Some((LOG_VARIABLE, 10 << 10)),
    },
    Part {
        name: "fuzz-grammar",
        about: "changed Dockerfiles, words and ignore files, for three minutes",
        budget: minutes(30),
        package: "kiln-grammar",
        target: &["--test", "fuzz"],
        test: "mutants_keep_the_invariants",
        release: true,
        ignored: true,
        amount: Some((SECONDS_VARIABLE, 180)),
    },
    Part {
        name: "fuzz-store",
        about: "changed names of images, manifests, configurations and layers, for two minutes each",
        budget: minutes(30),
        package: "kiln-store",
        target: &["--test", "fuzz"],
        test: "",
        release: false,
        ignored: false,
        amount: Some((SECONDS_VARIABLE, 120)),
    },
    Part {
        name: "fuzz-registry",
        about: "pulls and pushes whose answers are changed, for two minutes",
        budget: minutes(30),
        package: "kiln-registry",
        target: &["--test", "scripted"],
        test: "fuzz",
        release: false,
        ignored: false,
        amount: Some((SECONDS_VARIABLE, 120)),
    },
];

impl Part {
    /// The command, with `amount` instead of the part's own if there is one.
    pub fn command(&self, amount: Option<u64>) -> Command {
        let mut command = workspace::cargo();
        command.args(["test", "--package", self.package]);
        command.args(self.target);
        if self.release {
            command.arg("--release");
        }
        command.args(["--", "--nocapture", self.test]);
        if self.ignored {
            command.arg("--ignored");
        }
        if let Some((variable, usual)) = self.amount {
            command.env(variable, amount.unwrap_or(usual).to_string());
        }
        command
    }
}
