//! What a container has for itself, what it shares with others or with the host, and who is waited for.

use std::time::{Duration, Instant};

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    writes_to_its_own_name_files,
    shares_namespaces,
    executes_as_asked,
    waits_for_what_is_asked,
    knows_docker_s_other_flags,
    says_once_what_is_missing,
);

#[test]
fn as_root_hosts_follow_the_networks() {
    crate::support::as_root(hosts_follow_the_networks);
}

const LIMIT: Duration = Duration::from_secs(60);

fn writes_to_its_own_name_files(env: &TestEnv) {
    let script = "echo '10.9.9.9 extra' >> /etc/hosts && echo other > /etc/hostname && echo 'nameserver 9.9.9.9' > /etc/resolv.conf && \
                  tail -n 1 /etc/hosts && mv /etc/hosts /etc/moved 2> /dev/null || echo fast; \
                  grep ' /etc/hosts ' /proc/self/mountinfo | cut -d ' ' -f 6; sleep 1000";
    env.ok(&["run", "-d", "--name", "writer", "base", "sh", "-c", script]);
    let deadline = Instant::now() + LIMIT;
    while env.ok(&["logs", "writer"]).lines().count() < 3 {
        assert!(Instant::now() < deadline, "{}", env.ok(&["logs", "writer"]));
        std::thread::sleep(Duration::from_millis(5));
    }
    let logs = env.ok(&["logs", "writer"]);
    assert!(logs.starts_with("10.9.9.9 extra\nfast\n"), "{logs}");
    let flags = logs.lines().last().unwrap();
    assert!(
        flags.starts_with("rw,") && flags.contains("nodev") && flags.contains("noexec"),
        "{flags}"
    );
    assert_eq!(
        env.ok(&["exec", "writer", "cat", "/etc/hostname"]),
        "other\n"
    );
    // They are no part of its layer.
    let diff = env.ok(&["diff", "writer"]);
    assert!(
        !diff.contains("/etc/hosts") && !diff.contains("resolv"),
        "{diff}"
    );
    // Nobody else sees that, not even itself after its next start.
    let other = env.ok(&["run", "--rm", "base", "cat", "/etc/hosts", "/etc/hostname"]);
    assert!(
        !other.contains("extra") && !other.contains("other"),
        "{other}"
    );
    env.ok(&["restart", "--time", "0", "writer"]);
    let hosts = env.ok(&["exec", "writer", "grep", "-c", "extra", "/etc/hosts"]);
    assert_eq!(hosts, "1\n", "it wrote once more");
    // What the user puts in their place stays there; a read-only root leaves them writable.
    let own = env.scratch().path().join("hosts");
    std::fs::write(&own, "1.2.3.4 mine\n").unwrap();
    let bind = format!("{}:/etc/hosts:ro", own.display());
    assert_eq!(
        env.ok(&["run", "--rm", "-v", &bind, "base", "cat", "/etc/hosts"]),
        "1.2.3.4 mine\n"
    );
    let script = "echo more >> /etc/hosts && ! touch /file 2> /dev/null";
    env.ok(&["run", "--rm", "--read-only", "base", "sh", "-c", script]);
    env.ok(&["rm", "--force", "writer"]);
    env.assert_quiet();
}

fn shares_namespaces(env: &TestEnv) {
    let own = std::process::id().to_string();
    let uts = env.ok(&["run", "--rm", "--uts", "host", "base", "hostname"]);
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(uts, name);
    let error = env.fails(&[
        "run",
        "--rm",
        "--uts",
        "host",
        "--hostname",
        "x",
        "base",
        "true",
    ]);
    assert!(
        error.contains("conflicting options: hostname and the UTS mode"),
        "{error}"
    );
    let error = env.fails(&["run", "--rm", "--ipc", "container:x", "base", "true"]);
    assert!(
        error.contains("--ipc container:x is not possible"),
        "{error}"
    );
    let error = env.fails(&["run", "--rm", "--pid", "everybody", "base", "true"]);
    assert!(
        error.contains("--pid: invalid PID mode: everybody"),
        "{error}"
    );
    if !env.identity().is_root() {
        for flags in [["--pid", "host"], ["--ipc", "host"]] {
            let error = env.fails(&["run", "--rm", flags[0], flags[1], "base", "true"]);
            assert!(error.contains("host needs root"), "{error}");
        }
        return;
    }
    let command = env.ok(&[
        "run",
        "--rm",
        "--pid",
        "host",
        "base",
        "cat",
        &format!("/proc/{own}/comm"),
    ]);
    assert_eq!(command, std::fs::read_to_string("/proc/self/comm").unwrap());
    // What it leaves running ends with it all the same.
    env.ok(&[
        "run",
        "-d",
        "--name",
        "wide",
        "--pid",
        "host",
        "base",
        "sh",
        "-c",
        "sleep 4711 & sleep 4712",
    ]);
    assert_eq!(
        env.ok(&["exec", "wide", "sh", "-c", "kill -0 1 && echo alive"]),
        "alive\n"
    );
    assert_eq!(
        env.ok(&["inspect", "-f", "{{.HostConfig.PidMode}}", "wide"]),
        "host\n"
    );
    env.ok(&["stop", "--time", "0", "wide"]);
    let left = std::process::Command::new("pgrep")
        .args(["-f", "^sleep 471[12]$"])
        .output()
        .unwrap();
    assert!(
        left.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&left.stdout)
    );
    env.ok(&["rm", "wide"]);
    // Another container's processes, and no others.
    env.ok(&["run", "-d", "--name", "watched", "base", "sleep", "4713"]);
    let seen = env.ok(&[
        "run",
        "--rm",
        "--pid",
        "container:watched",
        "base",
        "sh",
        "-c",
        "cat /proc/1/cmdline | tr '\\0' ' '; ls -d /proc/[0-9]* | wc -l",
    ]);
    assert!(seen.starts_with("sleep 4713"), "{seen}");
    assert!(
        seen.trim_end()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
            < 8,
        "{seen}"
    );
    env.ok(&["stop", "--time", "0", "watched"]);
    let error = env.fails(&["run", "--rm", "--pid", "container:watched", "base", "true"]);
    assert!(
        error.contains("cannot join PID of a non running container"),
        "{error}"
    );
    env.ok(&["rm", "watched"]);
    // Shared memory of the host.
    let file = format!("/dev/shm/kiln-test-{own}");
    std::fs::write(&file, "shared\n").unwrap();
    let shown = env.run(&["run", "--rm", "--ipc", "host", "base", "cat", &file]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(shown.stdout, "shared\n", "{}", shown.stderr);
    env.ok(&[
        "run",
        "--rm",
        "--ipc",
        "private",
        "base",
        "sh",
        "-c",
        "[ -z \"$(ls /dev/shm)\" ]",
    ]);
    env.assert_quiet();
}

fn hosts_follow_the_networks(env: &TestEnv) {
    env.ok(&["network", "create", "side"]);
    env.ok(&["run", "-d", "--name", "moving", "base", "sleep", "1000"]);
    let hosts = || env.ok(&["exec", "moving", "cat", "/etc/hosts"]);
    let before = hosts();
    env.ok(&[
        "exec",
        "moving",
        "sh",
        "-c",
        "echo '10.9.9.9 kept' >> /etc/hosts",
    ]);
    env.ok(&["network", "connect", "side", "moving"]);
    let format = "{{(index .NetworkSettings.Networks \"side\").IPAddress}} {{.Config.Hostname}}";
    let line = env
        .ok(&["inspect", "-f", format, "moving"])
        .replace(' ', "\t");
    assert!(!line.starts_with('\t'), "{line}");
    let after = hosts();
    assert!(
        after.contains(&line) && after.contains("10.9.9.9 kept\n"),
        "{after}"
    );
    env.ok(&["network", "disconnect", "side", "moving"]);
    assert_eq!(hosts(), format!("{before}10.9.9.9 kept\n"));
    env.ok(&["rm", "--force", "moving"]);
    env.ok(&["network", "rm", "side"]);
    env.assert_quiet();
}

fn executes_as_asked(env: &TestEnv) {
    env.ok(&["run", "-d", "--name", "host", "base", "sleep", "1000"]);
    env.write("variables", "# note\nONE=1\nTWO=two words\n");
    let file = format!("{}/variables", env.context());
    let script = "echo $ONE $TWO $THREE";
    let shown = env.ok(&[
        "exec",
        "--env-file",
        &file,
        "-e",
        "THREE=3",
        "host",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(shown, "1 two words 3\n");
    let capabilities = |flags: &[&str]| {
        let words = [
            "host",
            "sh",
            "-c",
            "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status",
        ];
        env.ok(&[&["exec"], flags, &words].concat())
    };
    let usual = capabilities(&[]);
    let more = capabilities(&["--privileged"]);
    assert!(
        usual.contains("00000000a80425fb") && usual.contains("Seccomp:\t2"),
        "{usual}"
    );
    assert!(
        !more.contains("00000000a80425fb") && more.contains("Seccomp:\t0"),
        "{more}"
    );
    let error = env.fails(&["exec", "--detach-keys", "ctrl-", "host", "true"]);
    assert!(error.contains("ctrl-"), "{error}");
    env.ok(&["rm", "--force", "host"]);
    env.assert_quiet();
}

fn waits_for_what_is_asked(env: &TestEnv) {
    env.ok(&["create", "--name", "later", "base", "sh", "-c", "exit 7"]);
    assert_eq!(env.ok(&["wait", "later"]), "0\n", "it does not run");
    let wait = |condition: &str, name: &str| {
        let mut command = env
            .kiln()
            .command(&["wait", "--condition", condition, name]);
        command.stdout(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        // Only what comes after its first look counts for it.
        let deadline = Instant::now() + LIMIT;
        let watches = || {
            let links = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
                .into_iter()
                .flatten()
                .flatten();
            links
                .filter_map(|link| std::fs::read_link(link.path()).ok())
                .any(|to| to.to_string_lossy().contains("inotify"))
        };
        while !watches() {
            assert!(Instant::now() < deadline, "it does not wait");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(20));
        child
    };
    let code = |child: std::process::Child| {
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let next = wait("next-exit", "later");
    env.ok(&["start", "later"]);
    assert_eq!(code(next), "7\n");
    let removed = wait("removed", "later");
    env.ok(&["rm", "later"]);
    assert_eq!(code(removed), "7\n");
    env.ok(&[
        "run", "-d", "--rm", "--name", "short", "base", "sleep", "1000",
    ]);
    let removed = wait("removed", "short");
    env.ok(&["kill", "short"]);
    assert_eq!(code(removed), "137\n");
    let error = env.fails(&["wait", "--condition", "tomorrow", "short"]);
    assert!(error.contains("invalid condition: \"tomorrow\""), "{error}");
    // One that is not there does not keep the others from being told.
    env.ok(&["create", "--name", "there", "base", "true"]);
    let both = env.run(&["wait", "nowhere", "there"]);
    assert_eq!(
        (both.stdout.as_str(), both.code()),
        ("0\n", 1),
        "{}",
        both.stderr
    );
    env.assert_quiet();
}

fn knows_docker_s_other_flags(env: &TestEnv) {
    assert_shown!(env, env.run(&["run", "--rm", "--gpus", "all", "base", "true"]), @r"
    exit code 125
    ----- stderr
    error: --gpus all is not possible with kiln
    hint: name the device nodes with `--device` and mount the driver's libraries with `-v`
    ");
    assert_shown!(env, env.run(&["create", "--link", "db:db", "base", "true"]), @r"
    exit code 125
    ----- stderr
    error: --link db:db is not possible with kiln
    hint: containers on one network of `kiln network create` find each other by name: use `--network`
    ");
    assert_shown!(env, env.run(&["run", "--oom-kill-disable", "base", "true"]), @r"
    exit code 125
    ----- stderr
    error: --oom-kill-disable true is not possible with kiln
    hint: a container at its limit would hang; `--oom-score-adj` makes it a less likely victim
    ");
    // What changes nothing is taken.
    env.ok(&[
        "run",
        "--rm",
        "--runtime",
        "runc",
        "--isolation",
        "default",
        "--cgroupns",
        "private",
        "--volume-driver",
        "local",
        "--disable-content-trust",
        "base",
        "true",
    ]);
    assert_eq!(
        env.ok(&["ps", "--all", "--quiet"]),
        "",
        "nothing is made that is refused"
    );
}

fn says_once_what_is_missing(env: &TestEnv) {
    let first = env.run(&["run", "--rm", "base", "true"]);
    let second = env.run(&["run", "--rm", "base", "true"]);
    assert_eq!(second.stderr, "");
    if !env.identity().is_root() {
        assert!(
            first
                .stderr
                .starts_with("notice: the container has loopback"),
            "{}",
            first.stderr
        );
    }
}
