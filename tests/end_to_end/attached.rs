//! What looks into a container that runs, and what changes about one: attach, top, port, rename, prune.

use std::time::{Duration, Instant};

use xtask::process;

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    attaches_to_what_runs,
    shows_processes_and_ports,
    renames_and_prunes,
    docker_s_longer_names,
);

const LIMIT: Duration = Duration::from_secs(60);

fn attaches_to_what_runs(env: &TestEnv) {
    // It answers each line, and ends with its input.
    let script = "while read line; do echo \"heard $line\"; done; exit 7";
    env.ok(&[
        "create", "-i", "--name", "listener", "base", "sh", "-c", script,
    ]);
    env.ok(&["start", "listener"]);
    let mut attach = env
        .kiln()
        .command(&["attach", "--sig-proxy=false", "listener"]);
    let finished = process::capture_with_input(&mut attach, b"one\ntwo\n", LIMIT);
    let finished = finished.unwrap();
    assert_eq!(
        (finished.stdout.as_str(), finished.code()),
        ("heard one\nheard two\n", 7)
    );
    assert_shown!(env, env.run(&["attach", "listener"]), @r"
    exit code 1
    ----- stderr
    error: You cannot attach to a stopped container, start it first
    ");
    assert_eq!(env.ok(&["logs", "listener"]), "heard one\nheard two\n");
    env.ok(&["rm", "listener"]);
    // Without standard input, and ended by somebody else.
    env.ok(&["run", "-d", "--name", "sleeper", "base", "sleep", "1000"]);
    let mut attach = env.kiln().command(&["attach", "--no-stdin", "sleeper"]);
    let attached = attach.spawn().unwrap();
    let attached = std::thread::spawn(move || attached.wait_with_output());
    env.ok(&["stop", "--time", "0", "sleeper"]);
    let code = attached.join().unwrap().unwrap().status.code();
    assert!(matches!(code, Some(137 | 1)), "{code:?}");
    env.ok(&["rm", "sleeper"]);
    env.assert_quiet();
}

fn shows_processes_and_ports(env: &TestEnv) {
    env.ok(&[
        "run",
        "-d",
        "--name",
        "two",
        "-p",
        "127.0.0.1::80",
        "-p",
        "127.0.0.1::53/udp",
        "base",
        "sh",
        "-c",
        "sleep 1001 & sleep 1002",
    ]);
    env.ok(&["exec", "-d", "two", "sleep", "1003"]);
    let deadline = Instant::now() + LIMIT;
    loop {
        let top = env.ok(&["top", "two"]);
        let sleeps = ["sleep 1001", "sleep 1002", "sleep 1003"];
        if sleeps.iter().all(|sleep| top.contains(sleep)) {
            assert!(top.starts_with("UID"), "{top}");
            assert_eq!(top.lines().count(), 4, "{top}");
            break;
        }
        assert!(Instant::now() < deadline, "{top}");
    }
    let own = env.ok(&["top", "two", "-eo", "pid,args"]);
    assert!(
        own.trim_start().starts_with("PID") && own.contains("sleep 1003"),
        "{own}"
    );
    assert!(!own.contains("kiln-monitor"), "{own}");
    env.fails(&["top", "two", "-eo", "args"]);
    let ports = env.ok(&["port", "two"]);
    let lines: Vec<&str> = ports.lines().collect();
    assert_eq!(lines.len(), 2, "{ports}");
    assert!(
        ports.contains("80/tcp -> 127.0.0.1:") && ports.contains("53/udp -> 127.0.0.1:"),
        "{ports}"
    );
    let one = env.ok(&["port", "two", "80"]);
    assert!(one.starts_with("127.0.0.1:"), "{one}");
    assert!(
        env.fails(&["port", "two", "81/tcp"])
            .contains("no public port '81/tcp' published for two")
    );
    env.ok(&["rm", "--force", "two"]);
    assert!(
        env.fails(&["top", "two"])
            .contains("No such container: two")
    );
}

fn renames_and_prunes(env: &TestEnv) {
    env.ok(&[
        "run", "-d", "--rm", "--name", "before", "base", "sleep", "1000",
    ]);
    env.ok(&[
        "create", "--name", "other", "--label", "keep=yes", "base", "true",
    ]);
    assert!(
        env.fails(&["rename", "before", "other"])
            .contains("is already in use by container")
    );
    env.ok(&["rename", "before", "after"]);
    assert!(
        env.fails(&["inspect", "before"])
            .contains("No such object: before")
    );
    assert_eq!(env.ok(&["ps", "--format", "{{.Names}}"]), "after\n");
    // It removes itself, name and all.
    env.ok(&["stop", "--time", "0", "after"]);
    let names = || {
        std::fs::read_dir(env.kiln().root().join("names"))
            .unwrap()
            .count()
    };
    assert_eq!(names(), 1);
    env.ok(&["create", "--name", "before", "base", "true"]);
    let pruned = env.ok(&["container", "prune", "-f", "--filter", "label!=keep"]);
    assert!(pruned.starts_with("Deleted Containers:\n"), "{pruned}");
    assert_eq!(env.ok(&["ps", "-a", "--format", "{{.Names}}"]), "other\n");
    env.ok(&["container", "prune", "-f"]);
    assert_eq!((env.ok(&["ps", "-aq"]).as_str(), names()), ("", 0));
}

fn docker_s_longer_names(env: &TestEnv) {
    env.ok(&["container", "run", "--name", "long", "base", "true"]);
    assert_eq!(
        env.ok(&["container", "ls", "-a", "--format", "{{.Names}}"]),
        "long\n"
    );
    assert_eq!(
        env.ok(&["container", "inspect", "-f", "{{.Name}}", "long"]),
        "/long\n"
    );
    assert_eq!(env.run(&["container", "run", "--nope", "base"]).code(), 125);
    env.ok(&["container", "rm", "long"]);
}
