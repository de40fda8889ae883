//! How containers are kept: restarts, health checks, limits, init, logs, and the flags that say so.

use std::time::{Duration, Instant};

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    comes_back_as_its_policy_says,
    a_restarted_container_keeps_its_mounts,
    tells_whether_it_is_well,
    an_init_reaps_and_passes_signals_on,
    logs_are_kept_as_asked,
    limits_and_settings,
    refuses_what_makes_no_sense,
);

const LIMIT: Duration = Duration::from_secs(60);

/// Looks at a container again and again until a template gives what is expected.
fn wait_for(env: &TestEnv, name: &str, template: &str, expected: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = env.ok(&["inspect", "--format", template, name]);
        if found.trim() == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{template} of {name} is {found}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn comes_back_as_its_policy_says(env: &TestEnv) {
    let script = "echo run >> /runs; exit 3";
    env.ok(&[
        "run",
        "-d",
        "--restart",
        "on-failure:2",
        "--name",
        "failing",
        "base",
        "sh",
        "-c",
        script,
    ]);
    wait_for(
        env,
        "failing",
        "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}",
        "exited 2 3",
    );
    let read = ["run", "--rm", "--volumes-from", "failing", "base", "true"];
    env.ok(&read);
    // One that is well is left alone, one that was stopped too.
    env.ok(&[
        "run",
        "--restart",
        "on-failure",
        "--name",
        "fine",
        "base",
        "true",
    ]);
    wait_for(
        env,
        "fine",
        "{{.State.Status}} {{.RestartCount}}",
        "exited 0",
    );
    env.ok(&[
        "run",
        "-d",
        "--restart",
        "always",
        "--name",
        "always",
        "base",
        "sh",
        "-c",
        "sleep 1000; exit 1",
    ]);
    // The exec may end with the run that it belongs to.
    env.run(&["exec", "always", "sh", "-c", "kill -9 $(pidof sleep)"]);
    wait_for(
        env,
        "always",
        "{{.State.Running}} {{.RestartCount}}",
        "true 1",
    );
    env.ok(&["stop", "--time", "0", "always"]);
    wait_for(env, "always", "{{.State.Status}}", "exited");
    // A stop also ends the pause before the next start.
    env.ok(&[
        "run",
        "-d",
        "--restart",
        "unless-stopped",
        "--name",
        "loop",
        "base",
        "false",
    ]);
    wait_for(env, "loop", "{{.State.Restarting}}", "true");
    let exec = env.fails(&["exec", "loop", "true"]);
    assert!(
        exec.contains("restarting") || exec.contains("not running"),
        "{exec}"
    );
    env.ok(&["stop", "loop"]);
    wait_for(
        env,
        "loop",
        "{{.State.Status}} {{.State.ExitCode}}",
        "exited 1",
    );
    env.ok(&["rm", "failing", "fine", "always", "loop"]);
    env.assert_quiet();
}

fn a_restarted_container_keeps_its_mounts(env: &TestEnv) {
    let host = env.scratch().directory("bound").unwrap();
    std::fs::write(host.join("file"), "outside\n").unwrap();
    let directory = format!("{}:/bound:ro", host.display());
    let file = format!("{}/file:/one:ro", host.display());
    let script = "cat /bound/file /one; ls /volume; touch /volume/seen; exit 1";
    env.ok(&[
        "run",
        "-d",
        "--restart",
        "on-failure:2",
        "--name",
        "bound",
        "-v",
        &directory,
        "-v",
        &file,
        "-v",
        "kept:/volume",
        "--tmpfs",
        "/t",
        "base",
        "sh",
        "-c",
        script,
    ]);
    wait_for(
        env,
        "bound",
        "{{.State.Status}} {{.RestartCount}}",
        "exited 2",
    );
    let both = "outside\noutside\n";
    assert_eq!(
        env.ok(&["logs", "bound"]),
        format!("{both}{both}seen\n{both}seen\n")
    );
    env.ok(&["rm", "bound"]);
    env.assert_quiet();
}

fn tells_whether_it_is_well(env: &TestEnv) {
    let start = |name: &str, flags: &[&str], image: &str| {
        let mut all = vec!["run", "-d", "--name", name, "--health-interval", "20ms"];
        all.extend(flags);
        all.extend([image, "sleep", "1000"]);
        env.ok(&all);
    };
    let status = "{{.State.Health.Status}}";
    env.image(
        "checked",
        "FROM base\nHEALTHCHECK --interval=1h CMD test -e /well || { echo not well; exit 1; }\n",
    );
    start("own", &["--health-retries", "2"], "checked");
    wait_for(env, "own", status, "unhealthy");
    let said = env.ok(&[
        "inspect",
        "-f",
        "{{(index .State.Health.Log 0).Output}}",
        "own",
    ]);
    assert_eq!(said, "not well\n\n");
    assert!(
        env.ok(&["ps", "--format", "{{.Status}}"])
            .contains("(unhealthy)")
    );
    env.ok(&["exec", "own", "touch", "/well"]);
    wait_for(
        env,
        "own",
        "{{.State.Health.Status}} {{.State.Health.FailingStreak}}",
        "healthy 0",
    );
    start(
        "slow",
        &[
            "--health-cmd",
            "sleep 1000",
            "--health-timeout",
            "50ms",
            "--health-retries",
            "1",
        ],
        "base",
    );
    wait_for(env, "slow", status, "unhealthy");
    let code = env.ok(&[
        "inspect",
        "-f",
        "{{(index .State.Health.Log 0).ExitCode}}",
        "slow",
    ]);
    assert_eq!(code, "-1\n");
    start(
        "patient",
        &[
            "--health-cmd",
            "false",
            "--health-start-period",
            "1h",
            "--health-start-interval",
            "10ms",
        ],
        "base",
    );
    wait_for(env, "patient", "{{len .State.Health.Log}}", "5");
    assert_eq!(env.ok(&["inspect", "-f", status, "patient"]), "starting\n");
    start("without", &["--no-healthcheck"], "checked");
    env.fails(&["inspect", "-f", "{{json .State.Health}}", "without"]);
    for name in ["own", "slow", "patient", "without"] {
        env.ok(&["rm", "--force", name]);
    }
    env.assert_quiet();
}

fn an_init_reaps_and_passes_signals_on(env: &TestEnv) {
    let script = "trap 'echo asked; exit 4' TERM; (true &); sleep 0.1; echo ready; while :; do sleep 0.01; done";
    env.ok(&[
        "run", "-d", "--init", "--name", "init", "base", "sh", "-c", script,
    ]);
    let deadline = Instant::now() + LIMIT;
    while env.ok(&["logs", "init"]) != "ready\n" {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        env.ok(&["exec", "init", "cat", "/proc/1/comm"]),
        "kiln-init\n"
    );
    let zombies = "grep -l 'State:.Z' /proc/[0-9]*/status | wc -l";
    assert_eq!(env.ok(&["exec", "init", "sh", "-c", zombies]), "0\n");
    env.ok(&["stop", "init"]);
    assert_eq!(env.ok(&["wait", "init"]), "4\n");
    assert_eq!(env.ok(&["logs", "init"]), "ready\nasked\n");
    let code = |arguments: &[&str]| {
        env.run(&[&["run", "--rm", "--init", "base"], arguments].concat())
            .code()
    };
    assert_eq!(
        (
            code(&["sh", "-c", "exit 5"]),
            code(&["nowhere"]),
            code(&["sh", "-c", "kill -9 $$"])
        ),
        (5, 127, 137)
    );
    env.ok(&["rm", "init"]);
    env.assert_quiet();
}

fn logs_are_kept_as_asked(env: &TestEnv) {
    env.ok(&[
        "run",
        "--log-driver",
        "none",
        "--name",
        "silent",
        "base",
        "echo",
        "hello",
    ]);
    assert!(
        env.fails(&["logs", "silent"])
            .contains("configured logging driver does not support reading")
    );
    let script = "i=0; while [ $i -lt 2000 ]; do echo line number $i; i=$((i+1)); done";
    env.ok(&[
        "run",
        "--log-opt",
        "max-size=4k",
        "--log-opt",
        "max-file=2",
        "--name",
        "small",
        "base",
        "sh",
        "-c",
        script,
    ]);
    let kept = env.ok(&["logs", "small"]);
    assert!(kept.ends_with("line number 1999\n"), "{kept}");
    assert!(
        kept.len() < 200 << 10 && !kept.starts_with("line number 0\n"),
        "{}",
        kept.len()
    );
    assert!(
        env.fails(&["run", "--log-driver", "fluentd", "base"])
            .contains("no log driver named 'fluentd'")
    );
}

fn limits_and_settings(env: &TestEnv) {
    let run = |flags: &[&str], script: &str| {
        let mut all = vec!["run", "--rm"];
        all.extend(flags);
        all.extend(["base", "sh", "-c", script]);
        env.run(&all)
    };
    assert_eq!(
        run(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj").stdout,
        "500\n"
    );
    assert_eq!(
        run(
            &["--sysctl", "net.ipv4.ip_local_port_range=2000 3000"],
            "cat /proc/sys/net/ipv4/ip_local_port_range"
        )
        .stdout,
        "2000\t3000\n"
    );
    assert_eq!(
        run(&["--group-add", "1000", "--group-add", "7"], "id -G").stdout,
        "0 7 1000\n"
    );
    assert_eq!(
        run(
            &["--device", "/dev/null:/dev/nothing"],
            "echo x > /dev/nothing && echo written"
        )
        .stdout,
        "written\n"
    );
    let reading = run(
        &["--device", "/dev/zero:/dev/nothing:r"],
        "head -c 2 /dev/nothing | wc -c",
    );
    assert_eq!(reading.stdout, "2\n");
    assert!(
        reading
            .stderr
            .contains("warning: the container may also write to /dev/nothing"),
        "{}",
        reading.stderr
    );
    let limited = run(
        &[
            "--network",
            "none",
            "--memory",
            "64m",
            "--pids-limit",
            "20",
            "--cpus",
            "0.5",
            "--name",
            "limited",
        ],
        "echo runs",
    );
    assert_eq!(limited.stdout, "runs\n");
    for line in limited.stderr.lines() {
        assert!(line.starts_with("warning: no limit of "), "{line}");
    }
    if !limited.stderr.contains("no limit of memory") {
        let script = "dd if=/dev/zero of=/dev/null bs=200M count=1";
        let killed = env.run(&[
            "run",
            "--memory",
            "16m",
            "--memory-swap",
            "16m",
            "--name",
            "greedy",
            "base",
            "sh",
            "-c",
            script,
        ]);
        assert_eq!(killed.code(), 137, "{}", killed.stderr);
        let state = env.ok(&[
            "inspect",
            "-f",
            "{{.State.OOMKilled}} {{.HostConfig.Memory}}",
            "greedy",
        ]);
        assert_eq!(state, "true 16777216\n");
    }
    env.assert_quiet();
}

fn refuses_what_makes_no_sense(env: &TestEnv) {
    let shown = |flags: &[&str]| {
        let all = [&["create"], flags, &["base"]].concat();
        let finished = env.run(&all);
        assert_eq!(finished.code(), 125, "{flags:?}");
        finished
            .stderr
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    for (flags, message) in [
        (
            &["--restart", "always", "--rm"][..],
            "error: conflicting options: cannot specify both --restart and --rm",
        ),
        (
            &["--hostname", "a\n6.6.6.6 host"],
            "error: \"a\\n6.6.6.6 host\" holds a control character: host names and name servers stand on one line",
        ),
        (
            &["--dns", "8.8.8.8\noptions x"],
            "error: \"8.8.8.8\\noptions x\" holds a control character: host names and name servers stand on one line",
        ),
        (
            &["--memory", "1m"],
            "error: Minimum memory limit allowed is 6MB",
        ),
        (
            &["--sysctl", "kernel.panic=1"],
            "error: sysctl 'kernel.panic' is not allowed",
        ),
        (
            &["--oom-score-adj", "2000"],
            "error: Invalid value 2000, range for oom score adj is [-1000, 1000]",
        ),
        (
            &["--userns", "keep-id"],
            "error: user namespace mode `keep-id` is not known",
        ),
        (
            &["--device", "null"],
            "error: invalid device specification: null",
        ),
    ] {
        assert_eq!(shown(flags), message);
    }
    assert_eq!(env.ok(&["ps", "-aq"]), "");
    assert_shown!(env, env.run(&["run", "-d", "-a", "stdout", "base"]), @r"
    exit code 125
    ----- stderr
    error: conflicting options: cannot specify both --attach and --detach
    ");
}
