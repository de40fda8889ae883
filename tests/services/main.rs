//! Real services: each image of `fixtures/applications` is built from Debian's packages, run, and used through its published port by the
//! client that people use. As root and as an ordinary user with subordinate ids.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise and says what it skips"
)]

mod databases;
#[path = "../harness/mod.rs"]
mod harness;
mod host;
mod programs;
mod web;

use std::cell::OnceCell;
use std::process::ExitCode;

use host::Host;
use xtask::identity::{Identity, TEST_USER};
use xtask::interrupt;

/// A service put to use.
type Play = fn(&Host);

const TESTS: &[(&str, Play)] = &[
    ("nginx", web::nginx),
    ("postgresql", databases::postgresql),
    ("mariadb", databases::mariadb),
    ("redis", databases::redis),
    ("express", web::express),
    ("flask", web::flask),
    ("rust", programs::rust),
    ("go", programs::go),
    ("musl", programs::musl),
];

fn main() -> ExitCode {
    interrupt::install();
    let all: Vec<(&'static str, (bool, Play))> = [true, false]
        .iter()
        .flat_map(|&root| TESTS.iter().map(move |&(name, test)| (root, name, test)))
        .map(|(root, name, test)| {
            let user = if root { "as_root" } else { "as_user" };
            let name: &'static str = format!("{user}::{name}").leak();
            (name, (root, test))
        })
        .collect();
    let Some(tests) = harness::selected(&all) else {
        return ExitCode::SUCCESS;
    };
    if let Some(program) = host::lacking() {
        return harness::skip(program);
    }
    let (root, user) = (OnceCell::new(), OnceCell::new());
    harness::run(&tests, |(as_root, test)| {
        let (cell, identity) = if as_root {
            (&root, root_itself())
        } else {
            (&user, ordinary_user())
        };
        match identity {
            Some(identity) => test(cell.get_or_init(|| Host::new(&identity))),
            None if as_root => println!("skipped: needs root"),
            None => println!("skipped: needs an ordinary user with subordinate ids"),
        }
    })
}

fn root_itself() -> Option<Identity> {
    Identity::current().ok().filter(Identity::is_root)
}

fn ordinary_user() -> Option<Identity> {
    let current = Identity::current().ok()?;
    let user = if current.is_root() {
        Identity::named(TEST_USER).ok()?
    } else {
        current
    };
    let ranges = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let listed = ranges
        .lines()
        .any(|line| line.split(':').next() == Some(&user.name));
    listed.then_some(user)
}
