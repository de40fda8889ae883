//! What the scenarios stand on.

mod environment;
pub mod forged;
pub mod memory;
pub mod repository;
mod shown;
pub mod web;

use xtask::identity::{Identity, TEST_USER};
use xtask::interrupt;

pub use environment::TestEnv;
pub(crate) use shown::assert_shown;
pub use shown::with_filters;

/// Makes two tests of each scenario of a module: one as root, one as an ordinary user.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        mod as_root {
            $(#[test] fn $name() { crate::support::as_root(super::$name); })+
        }
        mod as_user {
            $(#[test] fn $name() { crate::support::as_user(super::$name); })+
        }
    };
}
pub(crate) use scenarios;

/// Plays a scenario as root.
pub fn as_root(scenario: fn(&TestEnv)) {
    let current = Identity::current().unwrap();
    if current.is_root() {
        play(scenario, &current);
    } else {
        println!("skipped: needs root");
    }
}

/// Plays a scenario as an ordinary user with subordinate ids.
pub fn as_user(scenario: fn(&TestEnv)) {
    let current = Identity::current().unwrap();
    let user = if current.is_root() {
        Identity::named(TEST_USER).ok()
    } else {
        Some(current)
    };
    match user.filter(has_subordinate_ids) {
        Some(user) => play(scenario, &user),
        None => println!("skipped: needs an ordinary user with subordinate ids"),
    }
}

fn play(scenario: fn(&TestEnv), identity: &Identity) {
    interrupt::install();
    scenario(&TestEnv::new(identity));
}

fn has_subordinate_ids(user: &Identity) -> bool {
    let ranges = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    ranges
        .lines()
        .any(|line| line.split(':').next() == Some(&user.name))
}

/// Tells why a scenario cannot be played, if a program it asks for its opinion is missing.
pub fn lacks(program: &str) -> bool {
    let missing = xtask::program::find(program).is_none();
    if missing {
        println!("skipped: needs {program}");
    }
    missing
}
