//! The corpus of builds: `fixtures/builds/**/*.build`, each built and compared with the tree, configuration and history that it
//! expects, or with its error. As root and as an ordinary user with subordinate ids.
//!
//! `KILN_CORPUS_UPDATE=1 cargo test --test corpus [NAME]` writes what is found in place of what was expected; it is read
//! before it is committed. `KILN_CORPUS_PEER=1` compares what is expected with what buildah makes of the same files.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise and says what it skips"
)]

mod case;
mod files;
mod look;
mod peer;
mod play;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kiln_runtime::userns::{EnterOptions, enter};
use xtask::identity::{Identity, TEST_USER};
use xtask::scratch::Scratch;
use xtask::{busybox, interrupt, program};

/// The store and the contexts of all cases.
const ROOM: u64 = 1 << 30;
/// The argument of a process that plays: its directory follows, and a part of names.
const PLAY: &str = "--play";
const UPDATE: &str = "KILN_CORPUS_UPDATE";
const PEER: &str = "KILN_CORPUS_PEER";

fn main() -> ExitCode {
    kiln_runtime::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, directory, filter, ..] = &arguments[..]
        && first == PLAY
    {
        return play(Path::new(directory), filter, arguments.len() > 3);
    }
    let cases = case::all(&corpus());
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let filter = filter.map_or("", String::as_str);
    if arguments.iter().any(|argument| argument == "--list") {
        let names = cases.iter().map(|case| &case.name);
        names.for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !program::is_static("busybox") {
        println!("skipped: needs busybox-static");
        return ExitCode::SUCCESS;
    }
    interrupt::install();
    let update = std::env::var_os(UPDATE).is_some();
    let identities = identities();
    if std::env::var_os(PEER).is_some() {
        return compare(&cases, filter);
    }
    // What was found as root is what everybody has to find.
    let identities = if update {
        &identities[..1]
    } else {
        &identities[..]
    };
    let ok = identities
        .iter()
        .all(|identity| play_as(identity, filter, update));
    ExitCode::from(u8::from(!ok))
}

/// Compares what is expected with what buildah makes.
fn compare(cases: &[case::Case], filter: &str) -> ExitCode {
    let current = Identity::current().unwrap();
    let fallback = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let scratch = Scratch::new("kiln-peer", &current, ROOM, fallback).unwrap();
    busybox::write(&scratch.directory("base").unwrap()).unwrap();
    std::fs::create_dir(scratch.path().join("cases")).unwrap();
    let Some(peer) = peer::Peer::new(scratch.path()).filter(|_| current.is_root()) else {
        println!("skipped: needs buildah and root");
        return ExitCode::SUCCESS;
    };
    let (mut same, mut other) = (0, 0);
    for case in cases.iter().filter(|case| case.name.contains(filter)) {
        match peer.check(case) {
            Some(Ok(())) => same += 1,
            Some(Err(difference)) => {
                other += 1;
                println!("{}\n{difference}", case.name);
            }
            None => {}
        }
    }
    println!("\ntest result: {same} trees are buildah's, {other} are not");
    ExitCode::from(u8::from(other > 0))
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/builds")
}

/// Who plays: root if possible, and an ordinary user.
fn identities() -> Vec<Identity> {
    let current = Identity::current().unwrap();
    if !current.is_root() {
        return vec![current];
    }
    match Identity::named(TEST_USER) {
        Ok(user) => vec![current, user],
        Err(_) => {
            println!("skipped: needs an ordinary user with subordinate ids");
            vec![current]
        }
    }
}

/// Plays in a process of that user's, in a directory that everybody can read.
fn play_as(identity: &Identity, filter: &str, update: bool) -> bool {
    let fallback = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let scratch = Scratch::new("kiln-corpus", identity, ROOM, fallback).unwrap();
    let own = scratch.path().join("corpus");
    std::fs::copy(std::env::current_exe().unwrap(), &own).unwrap();
    busybox::write(&scratch.directory("base").unwrap()).unwrap();
    std::fs::create_dir(scratch.path().join("cases")).unwrap();
    identity.take(&scratch.path().join("cases")).unwrap();
    let copies = scratch.path().join("builds");
    copy(&corpus(), &copies);
    let mut command = identity.command(&own);
    command.arg(PLAY).arg(scratch.path()).arg(filter);
    if update {
        command.arg("update");
    }
    let ok = command.status().unwrap().success();
    if update {
        copy(&copies, &corpus());
    }
    ok
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn play(directory: &Path, filter: &str, update: bool) -> ExitCode {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && let Err(error) = enter(&EnterOptions::default()) {
        println!("skipped: needs an ordinary user with subordinate ids ({error})");
        return ExitCode::SUCCESS;
    }
    let cases: Vec<_> = case::all(&directory.join("builds"))
        .into_iter()
        .filter(|case| case.name.contains(filter))
        .collect();
    println!("\nrunning {} tests", cases.len());
    let stage = play::Stage::new(directory, is_root);
    let (passed, failed) = stage.play(&cases, update);
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed\n");
    ExitCode::from(u8::from(failed > 0))
}
