//! Containers: run, look at, stop, start again, remove.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xtask::docker_registry::{free_address, get};
use xtask::process;

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    passes_the_exit_code_through,
    passes_input_and_both_outputs,
    serves_a_published_port_through_its_life,
    a_container_has_its_own_network_and_names,
    removes_what_it_ran_with_rm,
    kills_what_does_not_stop,
    limits_what_a_container_may_do,
    lists_and_inspects,
);

const LIMIT: Duration = Duration::from_secs(60);

const SERVER: &str = "\
FROM base
WORKDIR /var/www
RUN echo '<p>hello</p>' > index.html
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD [\"sh\", \"-c\", \"echo started | tee -a starts; trap 'echo stopping; exit 0' TERM; httpd -f -p 8080 & wait\"]
";

/// Fetches a page, waiting for the server to be ready.
fn fetch(address: SocketAddr, path: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        match get(address, path) {
            Ok((200, body)) => return body,
            other if Instant::now() >= deadline => panic!("{path}: {other:?}"),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn passes_the_exit_code_through(env: &TestEnv) {
    let code = |arguments: &[&str]| {
        let mut all = vec!["run", "--rm", "base"];
        all.extend(arguments);
        env.run(&all).code()
    };
    assert_eq!(code(&["true"]), 0);
    assert_eq!(code(&["sh", "-c", "exit 42"]), 42);
    assert_eq!(code(&["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"]), 143);
    assert_eq!(code(&["no-such-program"]), 127);
    assert_eq!(code(&["/etc/passwd"]), 126);
    assert_eq!(
        env.run(&["run", "--rm", "no-such-image-here.invalid/x"])
            .code(),
        125
    );
    assert_shown!(env, env.run(&["run", "--rm", "base", "no-such-program"]), @r#"
    exit code 127
    ----- stderr
    error: exec: "no-such-program": executable file not found in $PATH
    "#);
    assert_shown!(env, env.run(&["run", "--rm", "base", "/etc/passwd"]), @r#"
    exit code 126
    ----- stderr
    error: exec: "/etc/passwd": permission denied
    "#);
    env.assert_quiet();
}

fn passes_input_and_both_outputs(env: &TestEnv) {
    let script = "cat; echo error >&2";
    let mut command = env.kiln().command(&[
        "run",
        "--rm",
        "--interactive",
        "--network",
        "none",
        "base",
        "sh",
        "-c",
        script,
    ]);
    let finished = process::capture_with_input(&mut command, b"from outside\n", LIMIT).unwrap();
    assert_eq!(
        (finished.code(), &*finished.stdout, &*finished.stderr),
        (0, "from outside\n", "error\n")
    );
    let mut closed = env.kiln().command(&["run", "--rm", "base", "cat"]);
    let finished = process::capture_with_input(&mut closed, b"not wanted\n", LIMIT).unwrap();
    assert_eq!((finished.code(), &*finished.stdout), (0, ""));
    // More than any pipe holds, in both directions.
    let large = vec![b'x'; 3 << 20];
    let mut command = env
        .kiln()
        .command(&["run", "--rm", "--interactive", "base", "cat"]);
    let finished = process::capture_with_input(&mut command, &large, LIMIT).unwrap();
    assert_eq!(finished.stdout.len(), large.len());
}

fn serves_a_published_port_through_its_life(env: &TestEnv) {
    env.image("server", SERVER);
    let address = free_address().unwrap();
    let id = env.ok(&[
        "run",
        "-d",
        "--name",
        "server",
        "-p",
        &format!("{address}:8080"),
        "server",
    ]);
    assert_eq!(id.trim().len(), 64, "{id}");
    assert_eq!(fetch(address, "/"), "<p>hello</p>\n");
    assert_eq!(env.ok(&["logs", "server"]), "started\n");
    assert_eq!(
        env.ok(&["exec", "server", "sh", "-c", "echo kept > note; cat starts"]),
        "started\n"
    );
    assert_eq!(env.run(&["exec", "server", "sh", "-c", "exit 9"]).code(), 9);
    assert_eq!(env.ok(&["stop", "server"]), "server\n");
    assert!(
        get(address, "/").is_err(),
        "the port is closed after the stop"
    );
    assert_eq!(env.ok(&["ps", "--quiet"]), "");
    assert_eq!(
        env.ok(&[
            "inspect",
            "--format",
            "{{.State.ExitCode}} {{.State.Running}}",
            "server"
        ]),
        "0 false\n"
    );
    env.assert_quiet();
    assert_eq!(env.ok(&["start", "server"]), "server\n");
    assert_eq!(fetch(address, "/note"), "kept\n");
    assert_eq!(env.ok(&["logs", "server"]), "started\nstopping\nstarted\n");
    assert_shown!(env, env.run(&["rm", "server"]), @r#"
    exit code 1
    ----- stderr
    error: cannot remove container "/server": container is running: stop the container before removing or force remove
    "#);
    assert_eq!(env.ok(&["rm", "--force", "server"]), "server\n");
    assert!(
        get(address, "/").is_err(),
        "the port is closed after the removal"
    );
    assert_shown!(env, env.run(&["logs", "server"]), @r#"
    exit code 1
    ----- stderr
    error: No such container: server
    "#);
    env.assert_quiet();
}

fn a_container_has_its_own_network_and_names(env: &TestEnv) {
    let outside = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = outside.local_addr().unwrap().port().to_string();
    let reach = format!("nc -w 1 127.0.0.1 {port} </dev/null && echo reached || echo closed");
    assert_eq!(
        env.ok(&["run", "--rm", "base", "sh", "-c", &reach]),
        "closed\n"
    );
    let own = "httpd -p 80 && wget -q -O - http://127.0.0.1/etc/group | head -n 1";
    assert_eq!(
        env.ok(&["run", "--rm", "-w", "/", "base", "sh", "-c", own]),
        "root:x:0:\n"
    );
    let name = env.ok(&[
        "run",
        "--rm",
        "--hostname",
        "kiln-box",
        "base",
        "sh",
        "-c",
        "hostname; grep -q kiln-box /etc/hosts && echo known",
    ]);
    assert_eq!(name, "kiln-box\nknown\n");
    let processes = env.ok(&[
        "run",
        "--rm",
        "base",
        "sh",
        "-c",
        "ls -d /proc/[0-9]* | wc -l",
    ]);
    assert!(processes.trim().parse::<u32>().unwrap() < 6, "{processes}");
}

fn removes_what_it_ran_with_rm(env: &TestEnv) {
    env.ok(&["run", "--rm", "base", "touch", "/file"]);
    assert_eq!(env.ok(&["ps", "--all", "--quiet"]), "");
    let left: Vec<_> = std::fs::read_dir(env.kiln().root().join("containers"))
        .into_iter()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    env.assert_quiet();
}

fn kills_what_does_not_stop(env: &TestEnv) {
    let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
    env.ok(&[
        "run", "-d", "--name", "stubborn", "base", "sh", "-c", script,
    ]);
    wait_for_log(env, "stubborn", "ready\n");
    env.ok(&["stop", "--time", "0", "stubborn"]);
    assert_eq!(
        env.ok(&["inspect", "--format", "{{.State.ExitCode}}", "stubborn"]),
        "137\n"
    );
    env.ok(&["start", "stubborn"]);
    wait_for_log(env, "stubborn", "ready\nready\n");
    env.ok(&["kill", "stubborn"]);
    assert_eq!(env.ok(&["wait", "stubborn"]), "137\n");
    env.ok(&["rm", "stubborn"]);
    env.assert_quiet();
}

fn wait_for_log(env: &TestEnv, name: &str, expected: &str) {
    let deadline = Instant::now() + LIMIT;
    while env.ok(&["logs", name]) != expected {
        assert!(
            Instant::now() < deadline,
            "the log of {name} is {:?}",
            env.ok(&["logs", name])
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn limits_what_a_container_may_do(env: &TestEnv) {
    let run = |flags: &[&str], script: &str| {
        let mut all = vec!["run", "--rm", "--network", "none"];
        all.extend(flags);
        all.extend(["base", "sh", "-c", script]);
        env.run(&all).stdout
    };
    assert_eq!(
        run(&["--read-only"], "touch /file 2>&1"),
        "touch: /file: Read-only file system\n"
    );
    assert_eq!(
        run(
            &["--read-only", "--tmpfs", "/work"],
            "touch /work/file && ls /work"
        ),
        "file\n"
    );
    assert_eq!(run(&["--user", "web"], "id -u; id -g"), "1000\n1000\n");
    assert_eq!(
        run(&["--cap-drop", "ALL"], "grep CapEff /proc/self/status"),
        "CapEff:\t0000000000000000\n"
    );
    assert_eq!(
        run(&["-e", "A=1", "-w", "/tmp"], "echo $A; pwd"),
        "1\n/tmp\n"
    );
    assert_eq!(
        run(&[], "mount -t tmpfs x /tmp 2>/dev/null || echo refused"),
        "refused\n"
    );
    let host = env.scratch().directory("bound").unwrap();
    std::fs::write(host.join("file"), "outside\n").unwrap();
    let bind = format!("{}:/bound:ro", host.display());
    assert_eq!(
        run(
            &["-v", &bind],
            "cat /bound/file; touch /bound/x 2>/dev/null || echo refused"
        ),
        "outside\nrefused\n"
    );
}

fn lists_and_inspects(env: &TestEnv) {
    env.ok(&["run", "--name", "done", "--label", "a=b", "base", "true"]);
    let format = [
        "ps",
        "--all",
        "--format",
        "{{.Names}} {{.Image}} {{.Status}}",
    ];
    let listed = env.ok(&format);
    assert!(listed.starts_with("done base Exited (0)"), "{listed}");
    let inspected: serde_json::Value = serde_json::from_str(&env.ok(&["inspect", "done"])).unwrap();
    assert_eq!(inspected[0]["Config"]["Labels"]["a"], "b");
    assert_eq!(inspected[0]["State"]["ExitCode"], 0);
    let images: serde_json::Value = serde_json::from_str(
        env.ok(&["images", "--format", "json"])
            .lines()
            .next()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(images["Repository"], "base");
    env.ok(&["rm", "done"]);
    env.ok(&["rmi", "base"]);
    assert_eq!(env.ok(&["images", "--quiet"]), "");
}
