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
mod owners;
mod programs;
mod web;

use std::cell::OnceCell;
use std::process::ExitCode;

use host::Host;
use xtask::identity::{Identity, TEST_USER};
use xtask::interrupt;

/// A service put to use.
type Play = fn(&Host);

/// A user whom no file of the machine knows: it has no subordinate ids.
const LONE: u32 = 61_889;

/// Images that it builds.
const OWNED: &[&str] = &["nginx", "postgresql"];

/// Who does what.
#[derive(Clone, Copy)]
enum Test {
    Root(Play),
    User(Play),
    /// Builds this, beside root.
    Lone(&'static str),
}

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
    let named = |user: &str, name: &str| -> &'static str { format!("{user}::{name}").leak() };
    let as_root = TESTS
        .iter()
        .map(|&(name, play)| (named("as_root", name), Test::Root(play)));
    let as_user = TESTS
        .iter()
        .map(|&(name, play)| (named("as_user", name), Test::User(play)));
    let as_lone = OWNED
        .iter()
        .map(|&name| (named("as_lone", name), Test::Lone(name)));
    let all: Vec<(&'static str, Test)> = as_root.chain(as_user).chain(as_lone).collect();
    let Some(tests) = harness::selected(&all) else {
        return ExitCode::SUCCESS;
    };
    if let Some(program) = host::lacking() {
        return harness::skip(program);
    }
    let (root, user, lone) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
    let as_root = || root_itself().map(|identity| root.get_or_init(|| Host::new(&identity)));
    harness::run(&tests, |test| match test {
        Test::Root(play) => match as_root() {
            Some(host) => play(host),
            None => println!("skipped: needs root"),
        },
        Test::User(play) => match ordinary_user() {
            Some(identity) => play(user.get_or_init(|| Host::new(&identity))),
            None => println!("skipped: needs an ordinary user with subordinate ids"),
        },
        Test::Lone(name) => match as_root() {
            Some(root) => {
                let identity = Identity {
                    name: "kiln-lone".to_owned(),
                    uid: LONE,
                    gid: LONE,
                    home: "/nonexistent".into(),
                };
                owners::alike(lone.get_or_init(|| Host::new(&identity)), root, name);
            }
            None => println!("skipped: needs root"),
        },
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
