//! kiln on another kernel, in a virtual machine: Debian's 6.1, with cgroup v2 alone and all its controllers, AppArmor, and without what
//! came later (`lowerdir+`, layers by descriptors, scopes of Landlock, pidfd information). One boot; each test looks at a part of what
//! was said.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise and says what it skips"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use xtask::identity::Identity;
use xtask::machine::{self, Machine};
use xtask::scratch::Scratch;
use xtask::{busybox, process, stage};

/// A machine that is emulated, on a slow and busy one.
const LIMIT: Duration = Duration::from_secs(280);

/// What the image, the console and the output take.
const ROOM: u64 = 512 << 20;

/// A profile under the name that Docker gives its own.
const PROFILE: &str = "\
profile docker-default flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  deny /denied/** w,
}
";

/// Layers that take away and replace what lies below them.
const STEPS: &str = "\
FROM base
RUN echo one > /one && rm -r /var
RUN mkdir /var && echo two > /var/two && test ! -e /var/www
RUN rm /var/two && cat /one
";

const ATTRIBUTES: &str = "\
FROM base
RUN cat /proc/self/attr/current && mkdir -p /denied && ! touch /denied/file
";

/// One section of the script's output.
#[derive(Debug)]
struct Section {
    code: i32,
    text: String,
}

/// All sections, played by the first test that asks; a reason when they cannot be.
fn played() -> Result<&'static BTreeMap<String, Section>, &'static str> {
    static PLAYED: OnceLock<Result<BTreeMap<String, Section>, String>> = OnceLock::new();
    let played = PLAYED.get_or_init(|| match lacking() {
        Some(reason) => Err(reason),
        None => Ok(play()),
    });
    played.as_ref().map_err(String::as_str)
}

fn lacking() -> Option<String> {
    machine::lacking().or_else(|| {
        let needed = ["newuidmap", "newgidmap", "apparmor_parser", "strip"];
        let missing = needed
            .into_iter()
            .find(|name| xtask::program::find(name).is_none());
        missing.map(str::to_owned)
    })
}

fn play() -> BTreeMap<String, Section> {
    let fallback = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let scratch = Scratch::new(
        "kiln-machine",
        &Identity::current().unwrap(),
        ROOM,
        fallback,
    );
    let scratch = scratch.unwrap();
    let mut machine = Machine::new(fallback).unwrap();
    machine.binary(&stripped(&scratch), "bin/kiln").unwrap();
    for name in ["newuidmap", "newgidmap", "apparmor_parser"] {
        machine.program(name).unwrap();
    }
    let base = scratch.directory("base").unwrap();
    busybox::write(&base).unwrap();
    let base = |name: &str| std::fs::read(base.join(name)).unwrap();
    machine.file("root/base/base.tar", &base("base.tar"));
    machine.file("root/base/Dockerfile", &base("Dockerfile"));
    machine.file("root/steps/Dockerfile", STEPS.as_bytes());
    machine.file("root/attributes/Dockerfile", ATTRIBUTES.as_bytes());
    machine.file("root/profile", PROFILE.as_bytes());
    let passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
    machine.file("etc/passwd", passwd.as_bytes());
    machine.file("etc/group", b"root:x:0:\nuser:x:1000:\n");
    machine.file("etc/subuid", b"user:100000:65536\n");
    machine.file("etc/subgid", b"user:100000:65536\n");
    let script = include_str!("script.sh");
    let played = machine.play(script, &scratch, LIMIT).unwrap();
    println!("{}", played.output);
    sections(&played.output)
}

/// A copy of the binary without what only a debugger reads, which is most of it.
fn stripped(scratch: &Scratch) -> PathBuf {
    let binary = stage::binary(env!("CARGO_BIN_EXE_kiln"));
    let path = scratch.path().join("kiln");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&path).arg(binary);
    process::run(&mut strip, Duration::from_secs(60)).unwrap();
    path
}

fn sections(output: &str) -> BTreeMap<String, Section> {
    let mut all = BTreeMap::new();
    let mut current = String::new();
    let mut text = String::new();
    for line in output.lines() {
        if let Some(code) = line.strip_prefix("@ = ") {
            let section = Section {
                code: code.parse().unwrap(),
                text: std::mem::take(&mut text),
            };
            all.insert(std::mem::take(&mut current), section);
        } else if let Some(name) = line.strip_prefix("@ ") {
            name.clone_into(&mut current);
            text.clear();
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    all
}

/// Looks at sections by name, or says why there are none.
fn look(check: impl FnOnce(&dyn Fn(&str) -> &'static Section)) {
    match played() {
        Ok(sections) => check(&|name| {
            let section = sections.get(name);
            section.unwrap_or_else(|| panic!("there is no section {name}"))
        }),
        Err(reason) => println!("skipped: needs {reason}"),
    }
}

#[track_caller]
fn assert_said(section: &Section, code: i32, words: &[&str]) {
    assert_eq!(section.code, code, "{}", section.text);
    for word in words {
        assert!(
            section.text.contains(word),
            "no {word:?} in {}",
            section.text
        );
    }
}

#[test]
fn the_doctor_names_what_an_older_kernel_has() {
    look(|section| {
        let doctor = section("doctor");
        assert_said(
            doctor,
            0,
            &["steps run as: root", "cgroups: version 2 with controllers:"],
        );
        assert_said(
            doctor,
            0,
            &["memory", "pids", "version 1: none", "kernel: 6.1."],
        );
        assert_said(
            doctor,
            0,
            &["missing landlock", "missing apparmor: no profile"],
        );
    });
}

#[test]
fn limits_are_in_force() {
    look(|section| {
        assert_said(section("base"), 0, &[]);
        let values = "33554432\n0\n20\n50000 100000\n";
        assert_eq!(section("limits").text, values);
        assert_said(section("oom"), 137, &[]);
        assert_eq!(section("oom-state").text, "true 137\n");
        assert_said(section("pids"), section("pids").code, &["can't fork"]);
    });
}

#[test]
fn no_cgroup_is_left() {
    look(|section| {
        assert_said(section("oom-removed"), 0, &["oom"]);
        assert_eq!(section("cgroups-left").text, "");
    });
}

#[test]
fn an_ordinary_user_has_the_limits_that_are_delegated() {
    look(|section| {
        assert_said(section("user-base"), 0, &[]);
        let values = "33554432\n0\n20\n50000 100000\n";
        assert_said(section("user-limits"), 0, &[values]);
        let without = section("user-not-delegated");
        assert_said(without, 0, &["ran\n", "no limit of memory"]);
    });
}

#[test]
fn steps_run_without_what_newer_kernels_have() {
    look(|section| {
        for who in ["", "user-"] {
            assert_said(section(&format!("{who}steps")), 0, &[]);
            let seen = section(&format!("{who}steps-seen"));
            assert_said(seen, 0, &["one\n", "var\n"]);
        }
    });
}

#[test]
fn processes_run_in_the_profile_for_containers() {
    look(|section| {
        assert_said(section("no-profile"), 0, &["unconfined\n", "written\n"]);
        assert_said(section("load"), 0, &[]);
        let confined = section("profile");
        assert_said(
            confined,
            1,
            &["docker-default (enforce)\n", "Permission denied"],
        );
        assert_said(section("unconfined"), 0, &["unconfined\n", "written\n"]);
        assert_said(section("privileged"), 0, &["unconfined\n"]);
        assert_said(section("step-profile"), 0, &["docker-default (enforce)"]);
        assert_said(section("exec-profile"), 0, &["docker-default (enforce)"]);
        assert_said(section("ended"), 0, &[]);
    });
}

#[test]
fn a_profile_that_is_not_loaded_is_named() {
    look(|section| {
        let said = ["AppArmor profile nothing", "it is not loaded"];
        assert_said(section("not-loaded"), 125, &said);
    });
}
