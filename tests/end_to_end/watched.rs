//! Containers under watch: their monitor, its death, records that are damaged, pauses, figures, and what `ps` shows.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::memory::Memory;
use crate::support::{TestEnv, scenarios};

scenarios!(
    a_monitor_is_small,
    a_monitor_that_is_killed_is_told_of,
    a_damaged_record_is_in_nobody_s_way,
    pauses_and_goes_on,
    shows_figures_and_changes_limits,
    filters_and_columns,
    starts_what_runs_always,
);

const LIMIT: Duration = Duration::from_secs(60);

fn wait_for(env: &TestEnv, name: &str, template: &str, expected: &str) {
    let deadline = Instant::now() + LIMIT;
    while env.ok(&["inspect", "--format", template, name]).trim() != expected {
        assert!(
            Instant::now() < deadline,
            "{template} of {name} is not {expected}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pid(env: &TestEnv, name: &str, field: &str) -> String {
    env.ok(&[
        "inspect",
        "--format",
        &format!("{{{{.State.{field}}}}}"),
        name,
    ])
    .trim()
    .to_owned()
}

fn a_monitor_is_small(env: &TestEnv) {
    let script =
        "i=0; while [ $i -lt 2000 ]; do echo line $i of many; i=$((i+1)); done; sleep 1000";
    env.ok(&[
        "run",
        "-d",
        "--name",
        "small",
        "--restart",
        "always",
        "-p",
        "127.0.0.1::80",
        "base",
        "sh",
        "-c",
        script,
    ]);
    let deadline = Instant::now() + LIMIT;
    while !env
        .ok(&["logs", "--tail", "1", "small"])
        .contains("line 1999")
    {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let memory = Memory::of(&pid(env, "small", "MonitorPid"));
    assert!(
        memory.private <= Memory::LIMIT,
        "{memory:?} of private memory"
    );
    env.ok(&["rm", "--force", "small"]);
    env.assert_quiet();
}

fn a_monitor_that_is_killed_is_told_of(env: &TestEnv) {
    env.ok(&["run", "-d", "--name", "orphan", "base", "sleep", "1000"]);
    let init = pid(env, "orphan", "Pid");
    // The test is root, also for the ordinary user's containers.
    let kill = std::process::Command::new("kill")
        .args(["-9", &pid(env, "orphan", "MonitorPid")])
        .status();
    assert!(kill.unwrap().success());
    wait_for(
        env,
        "orphan",
        "{{.State.Status}} {{.State.ExitCode}}",
        "exited 255",
    );
    let error = env.ok(&["inspect", "-f", "{{.State.Error}}", "orphan"]);
    assert!(error.contains("monitor ended unexpectedly"), "{error}");
    let deadline = Instant::now() + LIMIT;
    while fs::metadata(format!("/proc/{init}")).is_ok() {
        assert!(Instant::now() < deadline, "the container's process is left");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(env.ok(&["wait", "orphan"]), "255\n");
    env.ok(&["start", "orphan"]);
    env.ok(&["rm", "--force", "orphan"]);
    env.assert_quiet();
}

fn a_damaged_record_is_in_nobody_s_way(env: &TestEnv) {
    env.ok(&["create", "--name", "fine", "base", "true"]);
    let id = env.ok(&["run", "-d", "--name", "broken", "base", "sleep", "1000"]);
    let config = env
        .kiln()
        .root()
        .join("containers")
        .join(id.trim())
        .join("config.json");
    fs::write(&config, "{").unwrap();
    let listed = env.ok(&["ps", "--all", "--format", "{{.Names}} {{.State}}"]);
    assert_eq!(listed, "fine created\nbroken dead\n");
    assert!(env.fails(&["rm", "broken"]).contains("rm --force"));
    env.ok(&["rm", "--force", "broken"]);
    assert_eq!(env.ok(&["ps", "-aq"]).lines().count(), 1);
    env.ok(&["run", "--name", "broken", "base", "true"]);
    env.ok(&["rm", "broken", "fine"]);
    env.assert_quiet();
}

fn pauses_and_goes_on(env: &TestEnv) {
    env.ok(&[
        "run",
        "-d",
        "--name",
        "ticking",
        "base",
        "sh",
        "-c",
        "while :; do echo tick; sleep 0.01; done",
    ]);
    let finished = env.run(&["pause", "ticking"]);
    if finished.code() != 0 {
        assert!(finished.stderr.contains("cgroup"), "{}", finished.stderr);
        println!("skipped: needs a cgroup of its own");
        env.ok(&["rm", "--force", "ticking"]);
        return;
    }
    assert_eq!(pid(env, "ticking", "Status"), "paused");
    assert!(env.ok(&["ps"]).contains("(Paused)"));
    let ticks = || env.ok(&["logs", "ticking"]).len();
    let (before, after) = (ticks(), ticks());
    assert_eq!(before, after);
    assert!(
        env.fails(&["exec", "ticking", "true"])
            .contains("is paused")
    );
    assert!(env.fails(&["pause", "ticking"]).contains("already paused"));
    env.ok(&["unpause", "ticking"]);
    let deadline = Instant::now() + LIMIT;
    while ticks() == before {
        assert!(Instant::now() < deadline);
    }
    env.ok(&["pause", "ticking"]);
    env.ok(&["stop", "--time", "0", "ticking"]);
    env.ok(&["rm", "ticking"]);
    env.assert_quiet();
}

fn shows_figures_and_changes_limits(env: &TestEnv) {
    env.ok(&[
        "run",
        "-d",
        "--name",
        "busy",
        "base",
        "sh",
        "-c",
        "while :; do :; done",
    ]);
    let line = env.ok(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.Name}} {{.CPUPerc}} {{.PIDs}}",
    ]);
    let words: Vec<&str> = line.split_whitespace().collect();
    let share: f64 = words[1].trim_end_matches('%').parse().unwrap();
    assert!(
        words[0] == "busy" && share > 1.0 && words[2] == "1",
        "{line}"
    );
    assert!(
        env.ok(&["stats", "--no-stream"])
            .starts_with("CONTAINER ID   NAME")
    );
    env.ok(&[
        "update",
        "--restart",
        "unless-stopped",
        "--memory",
        "64m",
        "busy",
    ]);
    let template = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}}";
    assert_eq!(
        env.ok(&["inspect", "-f", template, "busy"]),
        "unless-stopped 67108864\n"
    );
    env.fails(&["update", "busy"]);
    env.ok(&["rm", "--force", "busy"]);
    env.assert_quiet();
}

fn filters_and_columns(env: &TestEnv) {
    env.ok(&[
        "create", "--name", "first", "--label", "a=1", "-v", "data:/d", "base", "true",
    ]);
    env.run(&[
        "run", "--name", "second", "--label", "a=1", "--label", "b", "base", "sh", "-c", "exit 3",
    ]);
    env.ok(&[
        "run",
        "-d",
        "--name",
        "third",
        "-p",
        "127.0.0.1::80",
        "base",
        "sleep",
        "1000",
    ]);
    let names = |flags: &[&str]| {
        let all = [&["ps", "--format", "{{.Names}}"], flags].concat();
        env.ok(&all).lines().collect::<Vec<_>>().join(" ")
    };
    for (flags, expected) in [
        (&[][..], "third"),
        (&["-a"], "third second first"),
        (&["-l"], "third"),
        (&["-n", "2"], "third second"),
        (&["-a", "-f", "label=a=1", "-f", "label=b"], "second"),
        (
            &["-a", "-f", "name=^second$", "-f", "name=fir"],
            "second first",
        ),
        (&["-f", "status=exited"], "second"),
        (&["-a", "-f", "exited=3"], "second"),
        (&["-a", "-f", "volume=data"], "first"),
        (&["-a", "-f", "before=second"], "first"),
        (&["-a", "-f", "since=first"], "third second"),
        (&["-f", "publish=80"], "third"),
        (&["-a", "-f", "ancestor=base"], "third second first"),
        (&["-a", "-f", "ancestor=other"], ""),
    ] {
        assert_eq!(names(flags), expected, "{flags:?}");
    }
    env.fails(&["ps", "-f", "color=red"]);
    assert!(
        env.ok(&["ps", "-a", "--size"])
            .lines()
            .next()
            .unwrap()
            .ends_with("SIZE")
    );
    let mounts = env.ok(&[
        "ps",
        "-a",
        "-f",
        "name=first",
        "--format",
        "{{.Mounts}} {{.LocalVolumes}}",
    ]);
    assert_eq!(mounts, "data 1\n");
    env.ok(&["rm", "--force", "first", "second", "third"]);
}

fn starts_what_runs_always(env: &TestEnv) {
    let run = |name: &str, policy: &str| {
        env.ok(&[
            "run",
            "-d",
            "--restart",
            policy,
            "--name",
            name,
            "base",
            "sleep",
            "1000",
        ]);
    };
    run("always", "always");
    run("stopped", "unless-stopped");
    run("unless", "unless-stopped");
    run("never", "no");
    env.ok(&["stop", "--time", "0", "stopped"]);
    // As a power cut leaves them: records that say they run, of a boot that is over.
    for name in ["always", "unless", "never"] {
        let id = env.ok(&["inspect", "-f", "{{.Id}}", name]);
        let state = env
            .kiln()
            .root()
            .join("containers")
            .join(id.trim())
            .join("state.json");
        // Both are asked for first: a look at the record puts it right.
        let text = fs::read_to_string(&state).unwrap();
        let processes = [pid(env, name, "MonitorPid"), pid(env, name, "Pid")];
        let mut kill = std::process::Command::new("kill");
        assert!(kill.arg("-9").args(processes).status().is_ok());
        let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
        record["boot_id"] = "another".into();
        fs::write(&state, record.to_string()).unwrap();
    }
    let mut started: Vec<String> = env.ok(&["boot"]).lines().map(str::to_owned).collect();
    started.sort();
    assert_eq!(started, ["always", "unless"]);
    assert_eq!(env.ok(&["boot"]), "");
    assert_eq!(pid(env, "never", "Status"), "exited");
    let unit = env.ok(&["boot", "--unit"]);
    assert!(
        unit.contains("ExecStart=") && unit.contains(" boot\n"),
        "{unit}"
    );
    for name in ["always", "stopped", "unless", "never"] {
        env.ok(&["rm", "--force", name]);
    }
    env.assert_quiet();
}
