//! Networks of an ordinary user, carried by pasta, on a host of two network namespaces and with a tunnel device of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xtask::background::Background;
use xtask::identity::Identity;
use xtask::process::{self, Finished};
use xtask::program;
use xtask::scratch::Scratch;

use crate::networks::{CLIENT, HOST, Hosts};
use crate::support::{TestEnv, as_user, lacks};

const LIMIT: Duration = Duration::from_secs(60);

/// Gives a command a tunnel device that everybody may use, in a mount namespace of its own, and runs it as a user on the host
/// whose network namespace is named.
const STAGE: &str = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && \
    user=$1 && group=$2 && host=$3 && shift 3 && \
    exec ip netns exec \"$host\" setpriv --reuid \"$user\" --regid \"$group\" --clear-groups -- \"$@\"";

/// An ordinary user's machine, and another one with a web server.
struct Machine<'a> {
    env: &'a TestEnv,
    hosts: Hosts,
    path: String,
    _server: Background,
    _pages: Scratch,
}

impl<'a> Machine<'a> {
    fn new(env: &'a TestEnv, name: &str) -> Option<Self> {
        if lacks("pasta") || lacks("setpriv") || lacks("unshare") {
            return None;
        }
        if !rustix::process::getuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        let hosts = Hosts::new(name)?;
        let route = [
            "-n",
            &hosts.names[0],
            "route",
            "add",
            "default",
            "via",
            CLIENT[0],
        ];
        assert!(crate::networks::ip(&route));
        // Not in the environment's own, whose processes are waited for.
        let root = Identity::current().unwrap();
        let fallback = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let pages = Scratch::new("kiln-pages", &root, 1 << 20, fallback).unwrap();
        std::fs::write(pages.path().join("page"), "from the other machine\n").unwrap();
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &hosts.names[1], "busybox", "httpd", "-f"]);
        server
            .args(["-p", &format!("{}:8080", CLIENT[0]), "-h"])
            .arg(pages.path());
        server.stdin(Stdio::null());
        let machine = Self {
            env,
            _server: Background::start(&mut server).unwrap(),
            _pages: pages,
            hosts,
            path: program::SYSTEM_PATH.to_owned(),
        };
        let mut ask = Command::new("ip");
        ask.args([
            "netns",
            "exec",
            &machine.hosts.names[0],
            "busybox",
            "wget",
            "-q",
            "-O",
            "-",
        ]);
        ask.arg(page());
        let deadline = Instant::now() + LIMIT;
        while !process::capture(&mut ask, LIMIT).unwrap().status.success() {
            assert!(Instant::now() < deadline, "the server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(machine)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let kiln = self.env.kiln().command(arguments);
        let user = self.env.identity();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", STAGE, "stage"]);
        command.args([user.uid.to_string(), user.gid.to_string()]);
        command.arg(&self.hosts.names[0]);
        command.arg(kiln.get_program()).args(kiln.get_args());
        command
            .env("HOME", &user.home)
            .env("PATH", &self.path)
            .current_dir("/");
        command
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        process::capture(&mut self.command(arguments), LIMIT).unwrap()
    }

    fn build(&self, dockerfile: &str, tag: &str) -> Finished {
        self.env.write("Dockerfile", dockerfile);
        let finished = self.run(&["build", "--tag", tag, self.env.context()]);
        assert!(finished.status.success(), "{}", finished.stderr);
        finished
    }
}

/// Where the other machine's page is.
fn page() -> String {
    format!("http://{}:8080/page", CLIENT[0])
}

/// Waits until nothing of the environment runs any more.
fn until_quiet(env: &TestEnv) {
    let deadline = Instant::now() + LIMIT;
    while !env.scratch().processes().is_empty() {
        if Instant::now() > deadline {
            env.assert_quiet();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether pasta is being looked after.
fn has_guard(env: &TestEnv) -> bool {
    env.scratch().processes().into_iter().any(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "kiln-pasta")
    })
}

/// What steps have printed.
fn log_of(env: &TestEnv) -> String {
    let logs = std::fs::read_dir(env.kiln().root().join("logs"));
    let steps = logs.into_iter().flatten().flatten();
    let steps = steps.flat_map(|build| std::fs::read_dir(build.path()).into_iter().flatten());
    steps
        .flatten()
        .filter_map(|step| std::fs::read_to_string(step.path()).ok())
        .collect()
}

#[test]
fn steps_have_a_network_of_their_own() {
    as_user(|env| {
        let Some(machine) = Machine::new(env, "step") else {
            return;
        };
        let step = format!(
            "FROM base\nRUN wget -q -O /got {} && ip -o addr > /addresses && readlink /proc/self/ns/net > /namespace\n",
            page()
        );
        let finished = machine.build(&step, "carried");
        assert!(!finished.stderr.contains("notice:"), "{}", finished.stderr);
        assert_eq!(
            env.output_of("carried", "cat /got"),
            "from the other machine\n"
        );
        let addresses = env.output_of("carried", "cat /addresses");
        assert!(addresses.contains(HOST[0]), "{addresses}");
        let outside = std::fs::metadata(format!("/run/netns/{}", machine.hosts.names[0])).unwrap();
        let outside = std::os::unix::fs::MetadataExt::ino(&outside);
        let inside = env.output_of("carried", "cat /namespace");
        assert_ne!(inside.trim(), format!("net:[{outside}]"));
        until_quiet(env);
    });
}

#[test]
fn pasta_ends_with_a_build_that_is_killed() {
    as_user(|env| {
        let Some(machine) = Machine::new(env, "kill") else {
            return;
        };
        env.write(
            "Dockerfile",
            &format!(
                "FROM base\nRUN wget -q -O /got {} && echo waiting && sleep 600\n",
                page()
            ),
        );
        let mut command = machine.command(&["build", "--progress", "plain", env.context()]);
        let mut build =
            Background::start(command.stderr(Stdio::piped()).stdin(Stdio::null())).unwrap();
        let deadline = Instant::now() + LIMIT;
        while !(has_guard(env) && log_of(env).contains("waiting\n")) {
            assert!(Instant::now() < deadline, "the step does not run");
            std::thread::sleep(Duration::from_millis(10));
        }
        build.kill().unwrap();
        until_quiet(env);
    });
}

#[test]
fn a_pasta_that_hangs_is_given_up() {
    as_user(|env| {
        let Some(mut machine) = Machine::new(env, "hang") else {
            return;
        };
        let directory = env.scratch().directory("fake").unwrap();
        let fake = directory.join("pasta");
        std::fs::write(&fake, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        machine.path = format!("{}:{}", directory.display(), program::SYSTEM_PATH);
        let step = format!("FROM base\nRUN wget -q -O /got {}\n", page());
        let finished = machine.build(&step, "given-up");
        let notices: Vec<_> = finished
            .stderr
            .lines()
            .filter(|line| line.starts_with("notice:"))
            .collect();
        assert_eq!(
            notices,
            ["notice: steps used the host's network: pasta was not ready after 5 seconds"]
        );
        assert_eq!(
            env.output_of("given-up", "cat /got"),
            "from the other machine\n"
        );
        until_quiet(env);
    });
}

#[test]
fn containers_have_a_network_of_their_own() {
    as_user(|env| {
        let Some(machine) = Machine::new(env, "run") else {
            return;
        };
        let got = machine.run(&["run", "--rm", "base", "wget", "-q", "-O", "-", &page()]);
        assert_eq!(
            (got.stdout.as_str(), got.stderr.as_str()),
            ("from the other machine\n", "")
        );
        until_quiet(env);
        let serve = "mkdir /pages; echo mine > /pages/mine; exec httpd -f -p 80 -h /pages";
        let started = machine.run(&[
            "run",
            "-d",
            "--name",
            "served",
            "-p",
            "127.0.0.1:8081:80",
            "base",
            "sh",
            "-c",
            serve,
        ]);
        assert!(started.status.success(), "{}", started.stderr);
        let mut ask = Command::new("ip");
        ask.args([
            "netns",
            "exec",
            &machine.hosts.names[0],
            "busybox",
            "wget",
            "-q",
            "-O",
            "-",
        ]);
        ask.arg("http://127.0.0.1:8081/mine");
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = process::capture(&mut ask, LIMIT).unwrap();
            if answer.status.success() {
                assert_eq!(answer.stdout, "mine\n");
                break;
            }
            assert!(Instant::now() < deadline, "{}", answer.stderr);
            std::thread::sleep(Duration::from_millis(10));
        }
        let inside = machine.run(&["exec", "served", "wget", "-q", "-O", "-", &page()]);
        assert_eq!(
            inside.stdout, "from the other machine\n",
            "{}",
            inside.stderr
        );
        let removed = machine.run(&["rm", "-f", "served"]);
        assert!(removed.status.success(), "{}", removed.stderr);
        until_quiet(env);
    });
}

#[test]
fn the_machine_says_what_is_missing() {
    as_user(|env| {
        let Some(machine) = Machine::new(env, "look") else {
            return;
        };
        let shown = machine.run(&["doctor"]).stdout;
        assert!(shown.contains("networks: pasta carries"), "{shown}");
        let usable = std::fs::metadata("/dev/net/tun")
            .is_ok_and(|tun| tun.permissions().mode() & 0o006 == 0o006);
        if usable || !Path::new("/dev/net").exists() {
            return;
        }
        let shown = env.run(&["doctor"]).stdout;
        assert!(shown.contains("missing networks: /dev/net/tun"), "{shown}");
    });
}
